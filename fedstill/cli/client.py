"""``fedstill client``: set up an institution's folder, pin its coordinator, run the service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.config import InstitutionConfig, load_config
from shared.identity import fingerprint

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Set up and run an institution's service.")

Folder = Annotated[Path, typer.Argument(help="The institution's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@app.command()
def init(
    folder: Folder,
    config: Annotated[Path, typer.Option(help="The institution.toml.")],
    as_json: AsJson = False,
) -> None:
    """Make the institution's private keys, on site, and enrolment.json with their public parts for the coordinator.

    Example: fedstill client init st-mary --config institution.toml
    """
    from client.provision import init_institution

    enrolment = init_institution(folder, load_config(InstitutionConfig, config))
    path = folder / "enrolment.json"
    _result(
        as_json,
        {"name": enrolment.name, "enrolment": str(path), "identity": enrolment.identity_bytes.hex()},
        f"send {path} to the coordinator's operator; it holds public parts only. The identity's fingerprint is\n"
        f"  {fingerprint(enrolment.identity_bytes)}",
    )


@app.command()
def pin(
    folder: Folder,
    roster: Annotated[Path, typer.Argument(help="The roster.json that the coordinator's operator sent.")],
    ca: Annotated[Path | None, typer.Option(help="The certificate of the coordinator's CA (ca.crt).")] = None,
    address: Annotated[str | None, typer.Option(help="HOST:PORT of the coordinator.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="Pin it although another one is pinned.")] = False,
    as_json: AsJson = False,
) -> None:
    """Pin the roster (and CA, and address), and say its fingerprint: compare it with the coordinator's operator by telephone.

    Example: fedstill client pin st-mary roster.json --ca ca.crt --address fl.example.org:8443
    """
    from client.provision import pin as pin_all
    from shared.config import check_config
    from shared.enrolment import Connection
    from shared.identity import load_roster

    connection = check_config(Connection, {"address": address}, where="--address") if address is not None else None
    found = load_roster(roster)
    pin_all(folder, found, ca=ca, connection=connection, replace=replace)
    _result(
        as_json,
        {"members": sorted(found.members), "roster_digest": found.digest.hex()},
        f"pinned {len(found.members)} institutions: {', '.join(sorted(found.members))}\n"
        f"the roster's fingerprint is\n  {fingerprint(found.digest)}",
    )


@app.command()
def salt(
    file: Annotated[Path, typer.Argument(help="The new file.")],
    as_json: AsJson = False,
) -> None:
    """Make the salt by which institutions name entities that they share (knowledge.salt_path); one makes it, all need the same.

    Example: fedstill client salt st-mary/keys/salt
    """
    from shared.knowledge.salt import make_salt

    make_salt(file)
    _result(as_json, {"salt": str(file)}, f"give {file} to the other institutions by a way that is secret, and never to the coordinator")


@app.command()
def run(
    folder: Folder,
    give_up_after: Annotated[
        float | None, typer.Option(min=1, help="Seconds after which to give up if never accepted; default: never.")
    ] = None,
    metrics_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Answer /metrics on this port of loopback.")] = None,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON, one object a line, on stderr and into logs/.")] = False,
) -> None:
    """Run the institution's service until it is stopped: one outbound connection, and the installed code only.

    Example: fedstill client run st-mary
    """
    from client.supervise import InstitutionService
    from fedstill.following import operator

    say, _ = operator(log_json=log_json)
    InstitutionService(folder, say=say, patience_s=give_up_after, metrics_port=metrics_port).serve()


@app.command()
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Say how the service of FOLDER is; ends with code 80 if it does not run. Good as a health check.

    Example: fedstill client status st-mary
    """
    from client.supervise import InstitutionFolder
    from shared.service import read_status

    found = read_status(InstitutionFolder(folder).status)
    _result(as_json, found.model_dump(), found.state)


def _result(as_json: bool, value: dict[str, object], text: str) -> None:
    sys.stdout.write((json.dumps(value) if as_json else text) + "\n")
