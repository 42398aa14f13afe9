"""``fedstill compress``: a student becomes a signed INT8 artifact for a device: benchmark, prune, quantise, verify, sign."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(add_completion=False)


@app.command()
def compress(
    student: Annotated[Path, typer.Argument(help="A student.safetensors, or a folder of fedstill distill or simulate that is done.")],
    device: Annotated[str, typer.Option(help="The device's profile: a name of 'fedstill device list', or a .toml.")] = "portable",
    data: Annotated[
        str | None,
        typer.Option(help="The records: a federation.toml, a CSV file, a folder of images, heart or digits. Default: those of the folder."),
    ] = None,
    tokenizer: Annotated[Path | None, typer.Option(help="Of a student that reads texts, with a CSV file: its tokenizer.json.")] = None,
    teacher: Annotated[
        Path | None, typer.Option(help="Who heals the cuts: a teacher's folder or file. Default: the folder's, else the student as it was.")
    ] = None,
    max_drop: Annotated[float, typer.Option(min=0, max=1, help="Most accuracy (fraction) that may be lost in all.")] = 0.01,
    budget_ms: Annotated[float | None, typer.Option(min=0, help="Most milliseconds a record on the device, by its cost model.")] = None,
    budget_mb: Annotated[float | None, typer.Option(min=0, help="Most megabytes of the file.")] = None,
    statistics: Annotated[
        bool, typer.Option("--statistics", help="No records: what a coordinator's finished run has judged, and its masked counts.")
    ] = False,
    run: Annotated[str | None, typer.Option(help="With --statistics: the run; default: the last that finished.")] = None,
    prune: Annotated[bool, typer.Option("--prune/--no-prune", help="Cut blocks, heads and inner channels before quantising.")] = True,
    keep_layers: Annotated[float, typer.Option(min=0, max=1, help="Least part of the blocks that is kept.")] = 0.8,
    healing_epochs: Annotated[int, typer.Option(min=0, help="Epochs of distillation after each cut.")] = 8,
    quantised_epochs: Annotated[int, typer.Option(min=0, help="Epochs of distillation on the INT8 grid; 0: none.")] = 8,
    seed: Annotated[int, typer.Option(help="Seed of everything that is drawn.")] = 7,
    threads: Annotated[int, typer.Option(min=1, max=256, help="Processor threads; another number gives other last bits.")] = 1,
    identity: Annotated[Path | None, typer.Option(help="The Ed25519 key (PEM) that signs. Default: one is made in --out.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder for artifact, tables and plot; default: runs/compress-NAME-TIME.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Compress a student for a device: measure it, prune it, quantise it, put it before the gate, sign it; a table after each step.

    Example: fedstill compress runs/distill-patients --device cortex-a72 --max-drop 0.01

    Another's student: fedstill compress student.safetensors --data patients.csv --budget-ms 2

    Without records, a federation's student for another device: fedstill compress coordinator --statistics --device cortex-a72

    Cuts are healed by a short distillation each and judged on a part of the records to learn from; the gate counts on held-out ones
    that nothing was chosen by. What loses more than --max-drop, is slower than float on the device, or is not smaller, is not signed
    (exit code 70). Quantised are only the operators that are worth it there.
    """
    from fedstill.compressing.plan import CompressPlan, federation_of, found_student, known_teacher, new_folder
    from fedstill.compressing.run import run_compression
    from fedstill.progress import make_console
    from fedstill.report.compressed import print_compressed

    if statistics:
        _from_statistics(student, run, device, max_drop, budget_ms, budget_mb, out, as_json=as_json)
        return
    federation = federation_of(data, student, tokenizer)
    plan = CompressPlan(
        folder=(out or new_folder(federation.name)).absolute(),
        student=found_student(student).absolute(),
        federation=federation,
        teacher=teacher.absolute() if teacher is not None else known_teacher(student),
        device=device,
        max_drop=max_drop,
        budget_ms=budget_ms,
        budget_mb=budget_mb,
        prune=prune,
        keep_layers=keep_layers,
        healing_epochs=healing_epochs,
        quantised_epochs=quantised_epochs,
        seed=seed,
        threads=threads,
        identity=identity,
    )
    console = make_console()
    summary = run_compression(plan, console)
    print_compressed(summary, console)
    if as_json:
        sys.stdout.write(summary.model_dump_json() + "\n")


def _from_statistics(
    folder: Path,
    run: str | None,
    device: str,
    max_drop: float,
    budget_ms: float | None,
    budget_mb: float | None,
    out: Path | None,
    *,
    as_json: bool,
) -> None:
    from fedstill.compressing.plan import check_folder, new_folder
    from fedstill.compressing.statistics import sign_for
    from shared.compress.gate import Allowed

    home = folder / "coordinator" if (folder / "coordinator").is_dir() else folder
    target = (out or new_folder(device)).absolute()
    check_folder(target)
    allowed = Allowed(max_drop, None if budget_ms is None else budget_ms / 1000, None if budget_mb is None else int(budget_mb * 1e6))
    signed = sign_for(home, run, device, allowed, target / "artifact")
    won = signed.gate.won
    found = {"artifact": str(target / "artifact"), "device": signed.device, "grid": signed.grid, "version": signed.version}
    figures = f"{100 * won.right / signed.gate.records:.2f} % right on {signed.gate.records} records, {won.size:,} bytes"
    text = f"signed {signed.grid} for {signed.device}: {figures}, from the run's masked counts\nartifact  {target / 'artifact'}\n"
    sys.stdout.write(json.dumps(found) + "\n" if as_json else text)
