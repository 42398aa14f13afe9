"""``fedstill device``: the known device profiles, one of one's own measured on the device, and what a graph costs on any of them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from shared.errors import ConfigError

app = typer.Typer(
    add_completion=False, no_args_is_help=True, help="List, show and measure device profiles; predict what a graph costs on one."
)
Name = Annotated[str, typer.Argument(metavar="NAME", help="A known profile, or the path of one of your own, a .toml.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


@app.command("list")
def list_(as_json: AsJson = False) -> None:
    """List the known profiles, and how much of each was measured.

    Example: fedstill device list
    """
    from shared.compress.devices import DEVICES

    if as_json:
        found = [
            {"name": each.name, "title": each.title, "grids": each.grids, "measured_tables": len(each.operators)}
            for each in DEVICES.values()
        ]
        sys.stdout.write(json.dumps({"devices": found}) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("name", "what", "grids, best first", "operators")
    for each in DEVICES.values():
        tables = f"{len(each.operators)} tables measured" if each.operators else "estimated"
        table.add_row(each.name, each.title, ", ".join(each.grids), tables)
    Console(file=sys.stdout).print(table)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Print every number of a profile with where it comes from.

    Example: fedstill device show cortex-a53
    """
    from shared.compress.devices import find_profile

    profile = find_profile(name)
    if as_json:
        sys.stdout.write(json.dumps(profile.model_dump(mode="json", exclude_none=True), sort_keys=True) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    console, table = Console(file=sys.stdout), Table("", "value", "source")
    for row in _numbers(profile):
        table.add_row(*row)
    console.print(f"{profile.name}: {profile.title}\n{profile.reason}\ngrids, best first: {', '.join(profile.grids)}", highlight=False)
    if profile.stands_for:
        console.print(f"a file must be slower than float on none of {', '.join(profile.stands_for)} either", highlight=False)
    console.print(table)
    for key, source in profile.sources.items():
        where = f" ({source.machine}, {source.runtime}, {source.date})" if source.machine else ""
        console.print(f"{key}: {source.kind}{where}. {source.reason}", highlight=False)


@app.command()
def measure(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The profile to write, a .toml.")],
    name: Annotated[str | None, typer.Option(help="Its name: lower-case letters, digits, hyphens; default: the file's.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A coarser grid, less than a minute.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure the device that this runs on: its operators in onnxruntime on one thread, and its memory. Two to four minutes.

    Example: fedstill device measure --out gateway.toml

    On a device without this command: python -m shared.compress.measure --out gateway.toml, which needs numpy, onnx and onnxruntime.
    Let nothing else run meanwhile.
    """
    from rich.console import Console
    from rich.progress import Progress

    from shared.compress.devices import read_profile
    from shared.compress.measure.profile import measured_profile, rendered
    from shared.files import write_atomic

    chosen = name if name is not None else out.stem
    check_out(out, chosen)
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("measuring", total=None)
        profile = measured_profile(chosen, quick=quick, tell=lambda done, whole: progress.update(task, completed=done, total=whole))
    write_atomic(out, rendered(profile).encode())
    tables = len(read_profile(out).operators)
    sys.stdout.write(json.dumps({"profile": str(out), "name": chosen, "tables": tables}) + "\n" if as_json else f"{out}: {tables} tables\n")


@app.command()
def predict(
    graph: Annotated[Path, typer.Argument(metavar="GRAPH.onnx", help="A float or a QDQ INT8 graph, as in an artifact.")],
    device: Annotated[str, typer.Option(help="A known profile, or the path of one of your own, a .toml.")],
    tokens: Annotated[int | None, typer.Option(min=1, help="Tokens of a text; default: the most that the graph has positions for.")] = None,
    as_json: AsJson = False,
) -> None:
    """Predict what one record takes on a device: seconds, memory, and which operators take most.

    Example: fedstill device predict runs/trial/artifact/model.onnx --device cortex-a53
    """
    from shared.compress.cost import predict as cost
    from shared.compress.cost import share_of_time
    from shared.compress.devices import find_profile
    from shared.files import read_bytes

    profile, content = find_profile(device), read_bytes(graph, what="ONNX file")
    found = cost(content, profile, tokens=tokens)
    shares = share_of_time(content, profile, tokens=tokens)
    operators = [vars(entry) for entry in found.operators]
    if as_json:
        answer = {"device": profile.name, "seconds": found.seconds, "peak_bytes": found.peak_bytes, "measured_share": found.measured_share}
        sys.stdout.write(json.dumps(answer | {"shares": shares, "operators": operators}) + "\n")
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("operator", "node", "in", "multiplications", "µs", "from")
    for entry in sorted(found.operators, key=lambda entry: -entry.seconds)[:12]:
        precision = "INT8" if entry.int8 else "float"
        table.add_row(entry.operator, entry.node, precision, f"{entry.macs:,}", f"{entry.seconds * 1e6:.1f}", entry.source)
    told = ", ".join(f"{name} {share:.0%}" for name, share in shares.items())
    console = Console(file=sys.stdout)
    console.print(
        f"{found.seconds * 1e3:.3f} ms on {profile.name}, {found.peak_bytes / 2**20:.2f} MiB of weights and activations", highlight=False
    )
    console.print(f"{found.measured_share:.0%} of the time is from measured tables; {told}; the slowest operators:", highlight=False)
    console.print(table)


def check_out(out: Path, name: str) -> None:
    """Raises :class:`ConfigError` for a file or a name under which a profile could not be used, before minutes are spent on it."""
    from shared.compress.measure.__main__ import NAME

    if out.suffix != ".toml":
        raise ConfigError(f"--out {out} must end in .toml, by which a profile's path is told from the name of a known one")
    if not NAME.fullmatch(name):
        raise ConfigError(f"'{name}' is no name of a profile: use lower-case letters, digits and hyphens (--name)")


def _numbers(profile: Any) -> list[tuple[str, str, str]]:
    from shared.compress.devices import Quantity

    rows = [
        (key, f"{value.value:,.6g}", value.source)
        for key in type(profile).model_fields
        if isinstance(value := getattr(profile, key), Quantity)
    ]
    for place, cache in enumerate(profile.caches, start=1):
        rows.append((f"cache {place}, bytes", f"{cache.bytes.value:,.6g}", cache.bytes.source))
        rows.append((f"cache {place}, bytes/s", f"{cache.bandwidth.value:,.6g}", cache.bandwidth.source))
    for table in profile.operators:
        kind = f"{table.kind}, {'INT8' if table.int8 else 'float'}{', ragged' if table.ragged else ''}"
        rows.append((kind, f"{len(table.rows)} × {len(table.work)} times", table.source))
    return rows
