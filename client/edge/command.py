"""``artifact serve``, ``install`` and ``rollback`` with the edge's packages alone: what ``fedstill`` runs where typer is not installed.

``python -m client.edge.command serve ARTIFACT --key KEY``; the options and their meaning are those of ``fedstill artifact``.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

from client.edge.batching import Limits
from client.edge.installed import Installed, install, rollback
from client.edge.server import EdgeOptions, Ready, Tls, serve
from shared.compress.verify import parse_key
from shared.errors import INTERRUPTED_EXIT_CODE, ConfigError, FedstillError

COMMANDS = {
    "serve": "answer gRPC with an artifact, or with what is installed in a folder",
    "install": "verify an artifact and make it a folder's current version",
    "rollback": "go back to the version before",
}


def main(arguments: list[str] | None = None) -> None:
    """Runs one command and exits: 0, the error's own code, or 130 after Ctrl-C."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "serve":
            run_serve(options.path, options.key, edge_options(options), as_json=options.json)
        else:
            installed = rollback(options.path) if options.command == "rollback" else install(options.path, options.to, _key(options.key))
            sys.stdout.write(outcome(installed, as_json=options.json))
    except FedstillError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED_EXIT_CODE)


def run_serve(path: Path, key: str | None, options: EdgeOptions, *, as_json: bool) -> None:
    """Serves until a signal; says on stderr what happens, and with ``as_json`` where it listens on stdout once it does."""

    def ready(found: Ready) -> None:
        metrics = f", metrics at {found.metrics}" if found.metrics else ""
        _say(f"serving version {found.version} ({found.digest[:12]}) on {found.listening}{metrics}")
        if as_json:
            sys.stdout.write(json.dumps(asdict(found)) + "\n")
            sys.stdout.flush()

    serve(path, _key(key), options, _say, ready)


def outcome(installed: Installed, *, as_json: bool) -> str:
    """What an install or a roll-back says."""
    if as_json:
        return json.dumps(asdict(installed)) + "\n"
    before = f"; before it: version {installed.previous.version}, kept for a roll-back" if installed.previous is not None else ""
    now = installed.current
    return f"version {now.version} ({now.digest[:12]}) is current, no older than {installed.floor.version} will be installed{before}\n"


def edge_options(given: argparse.Namespace) -> EdgeOptions:
    """The service's options from the command line's; raises :class:`ConfigError` for half of a TLS pair."""
    return EdgeOptions(
        listen=given.listen,
        tls=tls_of(given.tls_cert, given.tls_key, given.tls_client_ca),
        insecure=given.insecure,
        metrics_port=given.metrics_port,
        limits=Limits(batch=given.max_batch, queue=given.queue_rows, wait_s=given.max_wait_ms / 1000),
        threads=given.threads,
        largest_message=given.max_message_kb * 1024,
        drain_s=given.drain_s,
    )


def tls_of(certificate: Path | None, key: Path | None, client_ca: Path | None) -> Tls | None:
    """The TLS files, None where none is given; raises :class:`ConfigError` where one of a pair is missing."""
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("--tls-cert and --tls-key belong together; give both PEM files")
    return Tls(certificate, key, client_ca)


def _key(text: str | None) -> bytes | None:
    return None if text is None else parse_key(text)


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="fedstill artifact", description="An artifact on an edge device: serve, install, roll back.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"{text}.".capitalize())
        command.add_argument("path", type=Path, metavar="ARTIFACT" if name != "rollback" else "DIR")
        command.add_argument("--json", action="store_true", help="print one JSON object on stdout")
        if name != "rollback":
            command.add_argument("--key", help="the signer's public key: 64 hex digits or a file; pinned by the first install")
    commands.choices["install"].add_argument("--to", type=Path, required=True, metavar="DIR", help="the folder of the installation")
    _serve_options(commands.choices["serve"])
    return parser


def _serve_options(command: argparse.ArgumentParser) -> None:
    default = EdgeOptions()
    command.add_argument("--listen", default=default.listen, metavar="HOST:PORT", help="default: %(default)s")
    command.add_argument("--tls-cert", type=Path, help="PEM certificate of this server")
    command.add_argument("--tls-key", type=Path, help="PEM key of it")
    command.add_argument("--tls-client-ca", type=Path, help="PEM CA that clients must prove themselves to")
    command.add_argument("--insecure", action="store_true", help="listen beyond loopback without TLS")
    command.add_argument("--metrics-port", type=int, help="Prometheus on 127.0.0.1; default: none")
    command.add_argument("--max-batch", type=int, default=default.limits.batch, help="most records in a request and in a run (%(default)s)")
    command.add_argument("--max-wait-ms", type=float, default=0.0, help="how long a record waits for others (%(default)s)")
    command.add_argument("--queue-rows", type=int, default=default.limits.queue, help="most records that wait (%(default)s)")
    command.add_argument("--threads", type=int, default=default.threads, help="threads of the model (%(default)s)")
    command.add_argument("--max-message-kb", type=int, default=default.largest_message // 1024, help="largest request (%(default)s)")
    command.add_argument("--drain-s", type=float, default=default.drain_s, help="longest wait of a stop for requests taken (%(default)s)")


if __name__ == "__main__":
    main()
