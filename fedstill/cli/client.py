"""``fedstill client``: set up an institution's folder, join or pin its coordinator, approve runs, run the service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.config import InstitutionConfig, load_config
from shared.identity import fingerprint
from shared.secagg.roster import Roster

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Set up and run an institution's service.")

Folder = Annotated[Path, typer.Argument(help="The institution's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]


@app.command()
def join(
    token: Annotated[str, typer.Argument(help="The token that 'coordinator invite' printed; '-' reads it from stdin.")],
    folder: Folder,
    config: Annotated[Path, typer.Option(help="The institution.toml.")],
    passphrase_file: Annotated[Path | None, typer.Option(help="A file with the passphrase that is to encrypt the identity's key.")] = None,
    as_json: AsJson = False,
) -> None:
    """Make the institution's private keys, on site, join by the token, and pin the coordinator, its CA and the roster.

    Example: fedstill client join - st-mary --config institution.toml
    """
    from client.joining import join as join_by
    from shared.files import read_bytes
    from shared.invitation import read_token

    # Who can list this machine's processes could read a token among a command's arguments.
    words = read_token(sys.stdin.readline() if token == "-" else token)
    secret = read_bytes(passphrase_file, what="passphrase file").rstrip(b"\r\n") if passphrase_file is not None else None
    found = join_by(folder, words, load_config(InstitutionConfig, config), passphrase=secret)
    until = found.certificate.not_valid_after_utc.date().isoformat()
    _result(
        as_json,
        {
            "name": found.name,
            "members": sorted(found.roster.members),
            "roster_digest": found.roster.digest.hex(),
            "certificate_until": until,
        },
        f"{found.name} has joined {words.connection.address}; its certificate holds until {until} and renews itself\n"
        f"{_members(found.roster)}\n"
        f"when all have joined: fedstill client roster {folder}, compare, and pin",
    )


@app.command()
def roster(
    folder: Folder,
    accept: Annotated[str | None, typer.Option(help="Pin it, if this is the beginning of its fingerprint (8 digits or more).")] = None,
    as_json: AsJson = False,
) -> None:
    """Fetch the signed roster and say what is new on it; pin it with --accept, once its fingerprint was compared by telephone.

    Example: fedstill client roster st-mary --accept "3f2a 90bc"
    """
    from client.link import open_link
    from client.provision import pin as pin_all
    from client.upkeep import fetch_roster
    from shared.errors import IdentityError
    from shared.identity import load_roster

    pinned = load_roster(folder / "roster.json")
    with open_link(folder) as link:
        found = fetch_roster(link, folder)
    new = sorted(name for name, key in found.members.items() if pinned.members.get(name) != key)
    gone = sorted(name for name in pinned.members if name not in found.members)
    if accept is not None:
        digits = accept.replace(" ", "").lower()
        if len(digits) < 8 or not found.digest.hex().startswith(digits):
            raise IdentityError("the roster has another fingerprint than --accept says: compare again, and pin nothing that differs")
        pin_all(folder, found, replace=True)
    _result(
        as_json,
        {
            "members": sorted(found.members),
            "new": new,
            "gone": gone,
            "roster_digest": found.digest.hex(),
            "pinned": accept is not None or found.digest == pinned.digest,
        },
        f"{_members(found)}\nnew: {', '.join(new) or 'none'}; gone: {', '.join(gone) or 'none'}; "
        + ("pinned" if accept is not None or found.digest == pinned.digest else "not pinned: compare the fingerprint, then --accept it"),
    )


@app.command()
def check(folder: Folder, as_json: AsJson = False) -> None:
    """Try all that the service needs (name, port, TLS, clock, certificate, disk, memory, records, teacher, policy) and say each cure.

    Example: fedstill client check st-mary
    """
    from client.preflight import preflight
    from shared.errors import DeploymentError

    findings = preflight(folder, read_records=_count_records, open_teacher=lambda _: _describe_teacher(folder))
    failed = [one.check for one in findings if not one.passed]
    _result(
        as_json,
        {"passed": not failed, "checks": [{"check": one.check, "passed": one.passed, "detail": one.detail} for one in findings]},
        "\n".join(f"{'ok  ' if one.passed else 'FAIL'} {one.check}: {one.detail}" for one in findings),
    )
    if failed:
        raise DeploymentError(f"{len(failed)} of {len(findings)} checks failed: {', '.join(failed)}; each line above says its cure")


@app.command()
def approve(
    folder: Folder,
    run: Annotated[str, typer.Argument(help="The run's name.")],
    plan: Annotated[Path | None, typer.Option(help="The plan.json of the run that came by hand; default: ask the coordinator.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Approve without being asked: the plan was read before.")] = False,
) -> None:
    """Print the plan of RUN that the coordinator has signed, and approve it: where policy.approve is "manual", no run goes without.

    Example: fedstill client approve st-mary heart-3
    """
    import tomli_w

    from client.approval import approve as keep
    from client.link import open_link
    from client.runs import fetch_plan
    from shared.errors import PolicyRefusal
    from shared.files import read_bytes
    from shared.identity import load_roster
    from shared.signed import read_plan

    if plan is not None:
        found = read_plan(read_bytes(plan, what="run's plan"), load_roster(folder / "roster.json").coordinator, where=str(plan))
    else:
        with open_link(folder) as link:
            found = fetch_plan(link, folder, run)
    if found.run != run:
        raise PolicyRefusal(f"that is the plan of run '{found.run}', not of '{run}'")
    sys.stdout.write(f"{tomli_w.dumps(found.model_dump(mode='json'))}\nSHA-256 of this plan: {found.digest}\n")
    if not yes and not typer.confirm(f"Does this institution take part in {run}?"):
        raise PolicyRefusal(f"run '{run}' is not approved")
    keep(folder, found)
    sys.stdout.write(f"{run} is approved\n")


@app.command()
def watch(
    folder: Folder,
    run: Annotated[str | None, typer.Argument(help="The run's name; default: list all runs.")] = None,
    after: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Only events after this sequence number.")] = 0,
) -> None:
    """Print the events of RUN as they happen, one JSON object a line, until it is over; without RUN, the runs that there are.

    Example: fedstill client watch st-mary heart-3
    """
    from client.link import open_link
    from client.runs import list_runs
    from client.runs import watch as follow
    from shared.printable import one_line

    with open_link(folder) as link:
        if run is None:
            sys.stdout.writelines(f"{one_line(name)} {one_line(status)}\n" for name, status in list_runs(link))
            return
        for sequence, moment, event in follow(link, run, after):
            sys.stdout.write(json.dumps({"sequence": sequence, "time": moment, "event": json.loads(event)}) + "\n")
            sys.stdout.flush()


@app.command()
def artifact(
    folder: Folder,
    run: Annotated[str, typer.Argument(help="The finished run's name.")],
    out: Annotated[Path, typer.Option(help="The folder to put it in.")],
    as_json: AsJson = False,
) -> None:
    """Fetch the signed artifact of RUN; broken off, the same command goes on where it stopped.

    Example: fedstill client artifact st-mary heart-3 --out heart-3
    """
    from client.link import open_link
    from client.runs import fetch_artifact

    with open_link(folder) as link:
        files = fetch_artifact(link, run, out)
    _result(
        as_json,
        {"folder": str(out), "files": [path.name for path in files]},
        f"{len(files)} files in {out}; now: fedstill artifact verify {out}",
    )


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
    from client.folder import InstitutionFolder
    from shared.service import read_status

    found = read_status(InstitutionFolder(folder).status)
    _result(as_json, found.model_dump(), found.state)


def _members(found: Roster) -> str:
    return (
        f"{len(found.members)} institutions: {', '.join(sorted(found.members))}; the roster's fingerprint is\n  {fingerprint(found.digest)}"
    )


def _count_records(config: InstitutionConfig) -> int:
    from shared.data import load_site

    return len(load_site(config).train)


def _describe_teacher(folder: Path) -> str:
    from fedstill.teachers import describe_teacher

    found = describe_teacher(folder, None)
    return f"{found.kind}, {found.parameters:,} parameters"


def _result(as_json: bool, value: dict[str, object], text: str) -> None:
    sys.stdout.write((json.dumps(value) if as_json else text) + "\n")
