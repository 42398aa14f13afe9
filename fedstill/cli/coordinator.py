"""``fedstill coordinator``: set up the coordinator's folder, invite, enrol and revoke institutions, run the service."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from shared.config import FederationConfig, load_config
from shared.identity import fingerprint

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Set up and run the coordinator's service.")

Folder = Annotated[Path, typer.Argument(help="The coordinator's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")]
Console = Annotated[bool, typer.Option("--console/--no-console", help="Let the operator look at /console (see 'coordinator console').")]


@app.command()
def init(
    folder: Folder,
    config: Annotated[Path, typer.Option(help="The federation.toml.")],
    host: Annotated[list[str], typer.Option(help="A name or address under which institutions reach this machine. Repeatable.")],
    as_json: AsJson = False,
) -> None:
    """Make the coordinator's folder: keys, a CA of its own, a server certificate, a roster of itself.

    Example: fedstill coordinator init coordinator --config federation.toml --host fl.example.org
    """
    from server.provision import init_coordinator

    roster = init_coordinator(folder, load_config(FederationConfig, config), host)
    _result(
        as_json,
        {"folder": str(folder), "ca": str(folder / "keys" / "ca.crt"), "roster_digest": roster.digest.hex()},
        f"{folder} is ready. Open its door with 'fedstill coordinator open {folder}' and invite institutions with\n"
        f"'fedstill coordinator invite {folder} NAME'; or enrol them by hand: give them {folder / 'keys' / 'ca.crt'}",
    )


@app.command()
def invite(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="The institution's name, as its institution.toml has it.")],
    expires: Annotated[str, typer.Option(help="How long the invitation holds: 90m, 24h, 7d.")] = "24h",
    address: Annotated[str | None, typer.Option(help="HOST:PORT for institutions; default: the certificate's first name, 8443.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print one token with which NAME joins, once; it is a secret: send it by a way that only NAME reads.

    Example: fedstill coordinator invite coordinator st-mary --expires 24h
    """
    from server.invitations import lifetime
    from server.membership import Membership
    from shared.certificates import hosts_of, load_certificate
    from shared.config import Named, check_config
    from shared.enrolment import Connection

    where = address or f"{hosts_of(load_certificate(folder / 'keys' / 'server.pem'))[0]}:8443"
    connection = check_config(Connection, {"address": where}, where="--address")
    checked = check_config(Named, {"name": name}, where="NAME").name
    token = Membership(folder).invite(checked, connection, lifetime(expires))
    _result(as_json, {"name": checked, "token": token.text(), "address": where, "expires": expires}, token.text())
    sys.stderr.write(f"for {checked}, at {where}, within {expires}, once: fedstill client join TOKEN FOLDER --config institution.toml\n")


@app.command()
def revoke(
    folder: Folder,
    name: Annotated[str, typer.Argument(help="The institution.")],
    as_json: AsJson = False,
) -> None:
    """Take NAME off the roster: its certificate, node key and invitation hold no more, at once, also while a run is on.

    If it fails, the same command again goes on where it stopped. Of a name that is invited only, the invitation is withdrawn.

    Example: fedstill coordinator revoke coordinator st-mary
    """
    from server.membership import Membership

    roster = Membership(folder).revoke(name)
    _result(
        as_json,
        {"revoked": name, "members": sorted(roster.members), "roster_digest": roster.digest.hex()},
        f"{name} is revoked; {len(roster.members)} institutions are left: {', '.join(sorted(roster.members)) or 'none'}\n"
        f"those that were enrolled by hand need the new {folder / 'roster.json'}; its fingerprint is\n  {fingerprint(roster.digest)}",
    )


@app.command("roster")
def show_roster(folder: Folder, as_json: AsJson = False) -> None:
    """Show who is a member, until when each certificate holds, who is invited, and the fingerprint to compare by telephone.

    Example: fedstill coordinator roster coordinator
    """
    from datetime import UTC, datetime

    from server.membership import Membership
    from shared.identity import load_roster

    membership, roster = Membership(folder), load_roster(folder / "roster.json")
    members, invited = membership.members(), membership.invited()

    def day(moment: float | None) -> str | None:
        return None if moment is None else datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M UTC")

    lines = [f"{one.name}: certificate until {day(one.until) or 'none, enrolled by hand'}" for one in members]
    lines += [f"{one.name}: invited until {day(one.expires)}" for one in invited]
    _result(
        as_json,
        {
            "members": {one.name: {"identity": one.identity.hex(), "certificate_until": day(one.until)} for one in members},
            "invited": {one.name: day(one.expires) for one in invited},
            "roster_digest": roster.digest.hex(),
        },
        "\n".join([*lines, f"the roster's fingerprint is\n  {fingerprint(roster.digest)}"]),
    )


@app.command("open")
def open_door(
    folder: Folder,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that institutions connect to.")] = 8443,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "0.0.0.0",
    metrics_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Answer /metrics on this port of loopback.")] = None,
    console: Console = True,
) -> None:
    """Open the door without a run, until it is stopped: institutions join, renew their certificates, and fetch artifacts.

    Example: fedstill coordinator open coordinator --port 8443
    """
    from fedstill.progress import make_console
    from server.opening import OpenDoor

    terminal = make_console()

    def say(line: str) -> None:
        terminal.print(line, highlight=False, markup=False, soft_wrap=True)

    OpenDoor(folder, host, port, say=say, metrics_port=metrics_port, console=console).serve()


@app.command()
def enrol(
    folder: Folder,
    enrolments: Annotated[list[Path], typer.Argument(help="The enrolment.json of each institution.")],
    as_json: AsJson = False,
) -> None:
    """Add institutions to the roster, and say the fingerprint that they must compare before they pin it.

    Example: fedstill coordinator enrol coordinator st-mary/enrolment.json vrach/enrolment.json
    """
    from server.membership import Membership
    from shared.enrolment import read_enrolment

    roster = Membership(folder).enrol([read_enrolment(path) for path in enrolments])
    _result(
        as_json,
        {"roster": str(folder / "roster.json"), "members": sorted(roster.members), "roster_digest": roster.digest.hex()},
        f"{len(roster.members)} institutions: {', '.join(sorted(roster.members))}\n"
        f"send {folder / 'roster.json'} to all of them; its fingerprint is\n  {fingerprint(roster.digest)}",
    )


@app.command()
def renew(
    folder: Folder,
    host: Annotated[list[str], typer.Option(help="A name or address under which institutions reach this machine. Repeatable.")],
    as_json: AsJson = False,
) -> None:
    """Make a new server certificate (of the same CA), before the old one ends or for other names.

    Example: fedstill coordinator renew coordinator --host fl.example.org
    """
    from server.provision import make_certificates
    from shared.certificates import hosts_of, load_certificate

    make_certificates(folder, load_config(FederationConfig, folder / "federation.toml").name, host)
    certificate = load_certificate(folder / "keys" / "server.pem")
    until = certificate.not_valid_after_utc.date().isoformat()
    _result(as_json, {"hosts": hosts_of(certificate), "until": until}, f"good for {', '.join(hosts_of(certificate))} until {until}")


@app.command()
def run(
    folder: Folder,
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port that institutions connect to.")] = 8443,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "0.0.0.0",
    name: Annotated[str | None, typer.Option("--run", help="The run's name; default: the unfinished run, or a new one.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Only go on with an unfinished run; never start a new one.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for all institutions of the roster.")] = 600.0,
    least: Annotated[int | None, typer.Option(min=2, help="Institutions that suffice after --wait; default: smallest_cohort.")] = None,
    metrics_port: Annotated[int | None, typer.Option(min=1, max=65535, help="Answer /metrics on this port of loopback.")] = None,
    mlflow: Annotated[str | None, typer.Option(help="URL of an MLflow server for the rounds' figures; needs fedstill[mlflow].")] = None,
    console: Console = True,
    log_json: Annotated[bool, typer.Option("--log-json", help="Log JSON, one object a line, on stderr and into logs/.")] = False,
    as_json: AsJson = False,
) -> None:
    """Start the service, wait for the institutions, run a run to its signed artifact, and end everything again.

    Example: fedstill coordinator run coordinator --port 8443

    Ctrl-C ends cleanly and keeps the closed rounds; the same command goes on and ends with the same student.
    """
    from fedstill.following import both, operator
    from server.supervise import CoordinatorService, ServiceOptions

    say, listen = operator(log_json=log_json)
    options = ServiceOptions(host, port, name, resume, wait, least, metrics_port, console)
    outcome = CoordinatorService(folder, options, say=say, on_event=both(listen, mlflow, say)).serve()
    _result(
        as_json,
        {"run": outcome.run, "artifact": outcome.artifact, "flower_runs": outcome.flower_runs, "seconds": round(outcome.seconds, 3)},
        f"run {outcome.run} is finished; its artifact: {outcome.artifact}",
    )


@app.command()
def console(
    folder: Folder,
    expires: Annotated[str, typer.Option(help="How long the link holds: 30s, 15m, 2h; at most 24h.")] = "15m",
    address: Annotated[
        str | None, typer.Option(help="HOST:PORT in the link; default: the certificate's first name, the door's port.")
    ] = None,
    sign_out: Annotated[bool, typer.Option("--sign-out", help="End all sessions and void all links instead.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print a link with which one browser signs in to the console, once; it is a secret.

    Example: fedstill coordinator console coordinator

    Whoever signs in sees the federation, its runs and the audit for eight hours, and can change nothing.
    """
    from server.console.access import LONGEST_CODE_S, Access
    from server.console.link import make_link
    from server.invitations import lifetime

    if sign_out:
        ended = Access(folder).sign_out_all()
        _result(as_json, {"signed_out": ended}, f"{ended} sessions are ended, and no link holds any more")
        return
    link = make_link(folder, lifetime(expires, what="a link", longest_s=LONGEST_CODE_S), address)
    _result(as_json, {"link": link.url, "expires": expires, "open": link.open}, link.url)
    sys.stderr.write(f"good once, within {expires}{'' if link.open else '; the console is not open now: it is while open or run is on'}\n")


@app.command()
def status(folder: Folder, as_json: AsJson = False) -> None:
    """Say how the service of FOLDER is; ends with code 80 if it does not run. Good as a health check.

    Example: fedstill coordinator status coordinator
    """
    from server.superlink import CoordinatorFolder
    from shared.service import read_status

    found = read_status(CoordinatorFolder(folder).status)
    _result(as_json, found.model_dump(), " ".join(filter(None, (found.state, found.run))))


def _result(as_json: bool, value: dict[str, object], text: str) -> None:
    sys.stdout.write((json.dumps(value) if as_json else text) + "\n")
