"""``fedstill artifact``: verify a signed INT8 artifact, show what it is, try it on records, serve it on an edge device."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.compress import console
from shared.compress.verify import Artifact, open_artifact, parse_key

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Verify, show, try and serve a signed INT8 artifact.")
Folder = Annotated[Path, typer.Argument(help="The artifact's folder, or its .tar.zst.")]
Key = Annotated[str | None, typer.Option(help="The signer's public key: 64 hex digits, or a file: those, a PEM, a roster.json.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command()
def verify(artifact: Folder, key: Key = None, as_json: AsJson = False) -> None:
    """Check signature, digests and file list, and that the model loads and runs. Exit code 70 where anything is wrong.

    Example: fedstill artifact verify runs/trial/artifact --key roster.json
    """
    found = console.verdict(_open(artifact, key), key_given=key is not None)
    sys.stdout.write(json.dumps(found) + "\n" if as_json else console.verdict_text(found))


@app.command()
def show(
    artifact: Folder,
    key: Key = None,
    time: Annotated[bool, typer.Option("--time/--no-time", help="Measure here where a record's time goes (seconds).")] = True,
    as_json: AsJson = False,
) -> None:
    """Verify, then print operators in INT8 and in float with their share of the time, sizes, the gate's figures and provenance.

    Example: fedstill artifact show runs/trial/artifact
    """
    opened = _open(artifact, key)
    found = console.times(opened) if time else None
    if as_json:
        measured = {"time_shares": found.shares()} if found is not None else {}
        sys.stdout.write(json.dumps({**opened.manifest, **measured}, sort_keys=True) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in (*console.facts(opened), *(console.time_facts(found) if found is not None else ())):
        table.add_row(name, text)
    Console(file=sys.stdout).print(table)


@app.command("serve-once")
def serve_once(
    artifact: Folder,
    source: Annotated[Path | None, typer.Option("--input", help="Records: JSON, JSON lines, CSV or .npy; default: stdin.")] = None,
    key: Key = None,
    head: Annotated[str | None, typer.Option(help="Answer within this head of the task; default: among all labels.")] = None,
    as_json: AsJson = False,
) -> None:
    """Verify, then predict one record or a batch and print one line each, or with --json one object for all.

    Example: echo '{"age": 63, "sex": "male", …}' | fedstill artifact serve-once runs/trial/artifact
    """
    opened = _open(artifact, key)
    entries = console.predictions(opened, console.read_records(source), head)
    if as_json:
        sys.stdout.write(json.dumps({"predictions": entries}) + "\n")
        return
    for entry in entries:
        sys.stdout.write(f"{entry['label']}\t{max(entry['probabilities'].values()):.4f}\n")


@app.command()
def serve(
    artifact: Annotated[Path, typer.Argument(help="The artifact's folder or .tar.zst, or a folder that 'install' made.")],
    key: Key = None,
    listen: Annotated[str, typer.Option(metavar="HOST:PORT", help="Where gRPC is answered; port 0 takes a free one.")] = "127.0.0.1:50051",
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate of this server, with its chain.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key of --tls-cert.")] = None,
    tls_client_ca: Annotated[Path | None, typer.Option(help="PEM CA that clients must prove themselves to (mutual TLS).")] = None,
    insecure: Annotated[bool, typer.Option("--insecure", help="Listen beyond loopback without TLS.")] = False,
    metrics_port: Annotated[int | None, typer.Option(min=0, max=65535, help="Prometheus on 127.0.0.1; default: none.")] = None,
    max_batch: Annotated[int, typer.Option(min=1, help="Most records in one request and in one run of the model.")] = 64,
    max_wait_ms: Annotated[float, typer.Option(min=0, help="How long a record waits for others; 0: only while the model is busy.")] = 0.0,
    queue_rows: Annotated[int, typer.Option(min=1, help="Most records that wait; beyond, RESOURCE_EXHAUSTED.")] = 1024,
    threads: Annotated[int, typer.Option(min=1, help="Threads of the model.")] = 1,
    max_message_kb: Annotated[int, typer.Option(min=1, help="Largest request.")] = 4096,
    drain_s: Annotated[float, typer.Option(min=0, help="How long a stop waits for requests that were taken.")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print where it listens as one JSON object, once it does.")] = False,
) -> None:
    """Answer gRPC (proto/fedstill/v1/edge.proto and the standard health check) until SIGTERM or Ctrl-C. No torch, no telemetry.

    Example: fedstill artifact serve runs/trial/artifact --key roster.json --metrics-port 9464

    Serve a folder of 'fedstill artifact install' to change versions without losing a request: a new one is noticed within a second,
    or at once on SIGHUP, verified and loaded beside the old one, and one that must not be trusted leaves the old one serving.
    A full queue answers RESOURCE_EXHAUSTED, a deadline that has passed is not computed. SIGTERM answers what was taken, then ends
    with 0; Ctrl-C with 130. Beyond loopback TLS is needed. See docs/edge.md.
    """
    from client.edge.batching import Limits
    from client.edge.command import run_serve, tls_of
    from client.edge.server import EdgeOptions

    options = EdgeOptions(
        listen=listen,
        tls=tls_of(tls_cert, tls_key, tls_client_ca),
        insecure=insecure,
        metrics_port=metrics_port,
        limits=Limits(batch=max_batch, queue=queue_rows, wait_s=max_wait_ms / 1000),
        threads=threads,
        largest_message=max_message_kb * 1024,
        drain_s=drain_s,
    )
    run_serve(artifact, key, options, as_json=as_json)


@app.command()
def install(
    artifact: Folder,
    to: Annotated[Path, typer.Option(metavar="DIR", help="The folder of the installation; made by the first install.")],
    key: Key = None,
    as_json: AsJson = False,
) -> None:
    """Verify an artifact, copy it into DIR and make it the current version there, in one step that a running server follows.

    Example: fedstill artifact install runs/trial/artifact --to /var/lib/fedstill --key roster.json

    The first install needs --key and DIR keeps to that signer. A version older than any that was installed before is refused with
    code 71; to go back on purpose, use rollback.
    """
    from client.edge.command import outcome
    from client.edge.installed import install as put

    sys.stdout.write(outcome(put(artifact, to, parse_key(key) if key is not None else None), as_json=as_json))


@app.command()
def rollback(folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder that 'install' made.")], as_json: AsJson = False) -> None:
    """Make the version before the current one current again, verified anew; what may be installed later does not change.

    Example: fedstill artifact rollback /var/lib/fedstill
    """
    from client.edge.command import outcome
    from client.edge.installed import rollback as back

    sys.stdout.write(outcome(back(folder), as_json=as_json))


def _open(path: Path, key: str | None) -> Artifact:
    return open_artifact(path, parse_key(key) if key is not None else None)
