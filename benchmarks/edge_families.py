"""Every family on its way to a device: teacher in torch, student in torch, float ONNX, the runtime's own quantisation, and the signed file.

    [FEDSTILL_BENCH_DATA=DIR] python -m benchmarks.edge_families [--subjects digits_convolutional …] [--seeds 3] [--json FILE]

The student learns from a larger network of its own family and is quantised without being pruned. ``users`` is what users of onnxruntime
do: ``quant_pre_process`` and ``quantize_static`` with its defaults, calibrated on 256 records; ``nncf`` is ``nncf.quantize`` with its
defaults on the same records, where ``FEDSTILL_NNCF_PYTHON`` says where it is; ``torchao`` is the file of its static quantisation for x86 on
those records, where ``FEDSTILL_TORCHAO_PYTHON`` says (``benchmarks/quantisers.py``). ``torchao_torch_static`` is that in torch, under
inductor, ``torchao_torch_dynamic`` and ``torchao_torch_dynamic_compiled`` what its ``quantize_`` makes, ``torch_compiled`` is float under
inductor; these take no turns with the files, and have no figure for memory: torchao's process measures them, in which it also
calibrates and compiles. ``signed`` is what the gate of fedstill signs for this machine's kind, by a fifth of the records to learn from that
nothing has learnt: ranges by mean-square error, only those operators in INT8 that its cost model finds worth it, and compared with float by
measurement too. ``behind`` are points of accuracy below float ONNX, ``faster`` and ``lighter`` ratios to the teacher, ``than_float`` how
many times as fast as float ONNX. One record, one thread; the files take turns, and each time is the least of three medians. Memory is the
peak of a fresh process with one model.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from benchmarks.harness import Claim, claim, parser, report
from benchmarks.quantisers import by_nncf, by_torchao
from benchmarks.subjects import banking77, credit
from fedstill.compressing.quantising import calibrated, judged
from fedstill.footprint import peak_bytes
from shared.compress import runtime
from shared.compress.candidates import candidates
from shared.compress.cost import timing_on
from shared.compress.devices import DEVICES
from shared.compress.export import export_float
from shared.compress.gate import Allowed
from shared.compress.here import ANY, is_here
from shared.compress.latency import onnx_latencies, torch_latency
from shared.data.digits import TASK as DIGITS
from shared.data.digits import read_digits
from shared.data.heart import TASK as HEART
from shared.data.heart import read_heart
from shared.data.records import Records, Split, joined
from shared.data.split import hold_out
from shared.distill.objective import needs_inside
from shared.distill.targets import targets_of
from shared.distill.teacher import fit_teacher, own_normalisation, save_teacher
from shared.distill.trainer import distil
from shared.models import Network, build, save_model
from shared.models.network import predict_logits
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.task import Task

TAUGHT = DistillationSettings(temperature=2.0, soft_weight=0.7, hidden_weight=0.0, attention_weight=0.0)
HELD_OUT, GATED, CALIBRATED, REPEATS, ALLOWED = 0.3, 0.2, 256, 300, 0.02
FASTER, LIGHTER, BEHIND = 4.0, 3.2, 0.3


@dataclass(frozen=True)
class Family:
    """A student, its teacher and what both learn from."""

    task: Task
    teacher: NetworkSettings
    student: NetworkSettings
    split: Callable[[int], Split]
    training: TrainingSettings
    teacher_epochs: int
    teacher_rate: float = 1e-3
    tokenizer: Path | None = None


def _held_out(records: Callable[[], Records]) -> Callable[[int], Split]:
    return lambda seed: hold_out(records(), HELD_OUT, seed=seed, site="all")


def _digits(teacher: NetworkSettings, student: NetworkSettings, training: TrainingSettings) -> Callable[[], Family]:
    return lambda: Family(DIGITS, teacher, student, _held_out(read_digits), training, training.epochs)


def _heart() -> Family:
    rows = TrainingSettings(epochs=15, batch_size=32, learning_rate=2e-3)
    whole = _held_out(lambda: joined(list(read_heart().values())))
    return Family(HEART, NetworkSettings(width=96, depth=6, heads=8), NetworkSettings(width=48, depth=3, heads=4), whole, rows, 10)


def _credit(teacher: NetworkSettings, student: NetworkSettings, rate: float) -> Callable[[], Family]:
    def made() -> Family:
        found = credit()
        training = found.config.training.model_copy(update={"learning_rate": rate})
        return Family(found.config.task, teacher, student, lambda seed: found.split, training, 4)

    return made


def _messages() -> Family:
    found = banking77(derived=False)
    teacher, student = NetworkSettings(width=256, depth=4, heads=8), NetworkSettings(width=128, depth=2, heads=4, embedding_width=56)
    training = found.config.training.model_copy(update={"epochs": 6})
    return Family(found.config.task, teacher, student, lambda seed: found.split, training, 6, tokenizer=found.config.tokenizer_path)


_IMAGES = TrainingSettings(epochs=12, batch_size=64, learning_rate=4e-3)
_PATCHES = TrainingSettings(epochs=25, batch_size=64, learning_rate=2e-3)
FAMILIES: Mapping[str, Callable[[], Family]] = {
    "heart_transformer": _heart,
    "digits_convolutional": _digits(NetworkSettings(width=64, depth=4), NetworkSettings(width=32, depth=4), _IMAGES),
    "digits_vision": _digits(
        NetworkSettings(width=128, depth=4, heads=8, architecture="transformer", patch=2),
        NetworkSettings(width=64, depth=3, heads=4, architecture="transformer", patch=2),
        _PATCHES,
    ),
    "digits_vision_large": _digits(
        NetworkSettings(width=256, depth=4, heads=8, architecture="transformer", patch=2),
        NetworkSettings(width=128, depth=3, heads=4, architecture="transformer", patch=2),
        _PATCHES.model_copy(update={"learning_rate": 1e-3}),
    ),
    "credit_transformer": _credit(NetworkSettings(width=64, depth=4, heads=8), NetworkSettings(width=32, depth=2), 3e-3),
    "credit_transformer_large": _credit(NetworkSettings(width=192, depth=4, heads=8), NetworkSettings(width=128, depth=3, heads=4), 1e-3),
    "banking77_encoder": _messages,
}
BUILTIN = ("heart_transformer", "digits_convolutional", "digits_vision")
Figures = Mapping[str, float]


def measure(family: Family, *, seed: int) -> dict[str, Figures]:
    """One seed: the figures of every stage by name."""
    whole = family.split(seed)
    # The gate chooses on records of its own: on those that are reported it would choose what happens to suit them.
    apart = hold_out(whole.train, GATED, seed=seed, site="gate")
    split = Split(apart.train, whole.test)
    fit = family.training.model_copy(update={"epochs": family.teacher_epochs, "learning_rate": family.teacher_rate})
    teacher = fit_teacher(split.train, family.task, family.teacher, fit, seed=seed)
    student = build(family.student, family.task, own_normalisation(family.task, split.train), seed=seed)
    targets = targets_of(teacher, split.train.inputs, inside=needs_inside(TAUGHT))
    distil(student, targets, split.train, family.training, TAUGHT, seed=seed)
    content = export_float(student, family.task)
    with tempfile.TemporaryDirectory() as folder:
        known = split.train.inputs[:CALIBRATED]
        peer = by_nncf(content, known, Path(folder), transformer=is_transformer(family.student, family.task))
        torchao = by_torchao(student, known, split.test, Path(folder))
        files = {
            "float": content,
            "users": as_users_do(content, known, Path(folder)),
            "nncf": peer,
            "torchao": torchao.content,
            "signed": signed(content, family, split, apart.test),
        }
        there = {name: file for name, file in files.items() if file is not None}
        return _figures(teacher, student, there, split.test, Path(folder), torchao.figures)


def is_transformer(student: NetworkSettings, task: Task) -> bool:
    """Whether a student attends: tables and texts do by default, images where they are told to."""
    attending = ("transformer", "encoder", "decoder")
    return student.architecture in attending or (student.architecture == "auto" and task.family != "image")


def as_users_do(content: bytes, inputs: NDArray[Any], folder: Path) -> bytes:
    """The file that onnxruntime's own static quantisation makes, with its defaults.

    Where its symbolic shape inference gives up, as on the encoder, it is left out, which is what its users are told to do.
    """
    from onnxruntime.quantization import CalibrationDataReader, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._rows = iter(range(len(inputs)))

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            row = next(self._rows, None)
            return None if row is None else {"inputs": inputs[row : row + 1]}

    given, prepared, made = (folder / f"{name}.onnx" for name in ("given", "prepared", "made"))
    given.write_bytes(content)
    with contextlib.chdir(folder):  # where it gives up it leaves what it had in the current folder
        try:
            quant_pre_process(str(given), str(prepared))
        except Exception as error:  # a bare one is what it raises
            print(f"onnxruntime's own quantisation: without symbolic shapes: {error}", file=sys.stderr, flush=True)
            quant_pre_process(str(given), str(prepared), skip_symbolic_shape=True)
    quantize_static(str(prepared), str(made), Reader())
    return made.read_bytes()


def signed(content: bytes, family: Family, split: Split, gated: Records) -> bytes:
    """The first file that the gate allows on the ``gated`` records and that is no slower here than float."""
    device = here()
    timing = timing_on(device)
    files = candidates(content, calibrated(content, split.train, family.task), device, timing)
    while True:
        found = judged(content, files, gated, family.task, Allowed(ALLOWED), timing)
        whole, own = onnx_latencies({"float": content, "own": found.winner}, split.test.inputs, repeats=REPEATS).values()
        if own <= whole or len(files) == 1:
            return found.winner
        files = {name: file for name, file in files.items() if name != found.result.winner}


def here() -> str:
    """The known device whose kind this machine is, else ``portable``."""
    return next((name for name, one in DEVICES.items() if ANY not in one.instruction_sets and is_here(one.instruction_sets)), "portable")


def _figures(
    teacher: Network, student: Network, files: Mapping[str, bytes], test: Records, folder: Path, elsewhere: Mapping[str, Figures]
) -> dict[str, Figures]:
    save_teacher(folder / "teacher", teacher)
    save_model(folder / "student.safetensors", student)
    seconds = onnx_latencies(files, test.inputs, repeats=REPEATS)
    found: dict[str, Figures] = {
        "teacher": _torch(teacher, test, peak_bytes("teacher", folder / "teacher", test, teacher.task)),
        "student": _torch(student, test, peak_bytes("student", folder / "student.safetensors", test)),
    }
    for name, content in files.items():
        (folder / f"{name}.onnx").write_bytes(content)
        right = float((runtime.logits(runtime.session(content), test.inputs).argmax(axis=1) == test.labels).mean())
        peak = peak_bytes("onnx", folder / f"{name}.onnx", test)
        found[name] = {"accuracy": right, "ms": 1000 * seconds[name], "kb": len(content) / 1000, "mb": (peak or 0) / 1e6}
    return {name: {**figures, **_beside(figures, found)} for name, figures in {**found, **elsewhere}.items()}


def _torch(model: Network, test: Records, peak: int | None) -> Figures:
    right = float((predict_logits(model, test.inputs).argmax(axis=1) == test.labels).mean())
    size = 4 * sum(parameter.numel() for parameter in model.parameters()) / 1000
    return {"accuracy": right, "ms": 1000 * torch_latency(model, test.inputs), "kb": size, "mb": (peak or 0) / 1e6}


def _beside(figures: Figures, found: Mapping[str, Figures]) -> Figures:
    teacher, whole = found["teacher"], found.get("float", figures)
    lighter = {"lighter": teacher["mb"] / figures["mb"] if figures["mb"] else 0.0} if "mb" in figures else {}
    return {
        "behind": 100 * (whole["accuracy"] - figures["accuracy"]),
        "than_float": whole["ms"] / figures["ms"],
        "faster": teacher["ms"] / figures["ms"],
        **lighter,
    }


def claims(name: str, found: Sequence[Mapping[str, Figures]]) -> Iterator[Claim]:
    """All stages' figures over the seeds as claims; the goals are the signed file's. A stage counts in the seeds that have it."""
    goals = {"behind": BEHIND, "faster": FASTER, "lighter": LIGHTER, "than_float": 1.0}
    units = {"accuracy": "accuracy", "ms": "ms", "kb": "KB", "mb": "MB", "behind": "points"}
    for stage in dict.fromkeys(stage for one in found for stage in one):
        seeds = [one[stage] for one in found if stage in one]
        shown = ["accuracy", "ms", "kb", "mb", *(() if stage in ("teacher", "student", "float") else goals)]
        for figure in (figure for figure in shown if figure in seeds[0]):
            goal = goals.get(figure) if stage == "signed" else None
            yield claim(f"{name}.{stage}.{figure}", [one[figure] for one in seeds], units.get(figure, "×"), goal=goal)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument(
        "--subjects", nargs="+", choices=list(FAMILIES), default=list(BUILTIN), help="which families (default: built-in data)"
    )
    chosen = options.parse_args(arguments)
    torch.set_num_threads(1)
    entries: list[Claim] = []
    for name in chosen.subjects:
        family = FAMILIES[name]()
        found = []
        for seed in range(20, 20 + chosen.seeds):
            found.append(measure(family, seed=seed))
            print(
                f"{name} seed {seed}: { {stage: round(figures['accuracy'], 4) for stage, figures in found[-1].items()} }",
                file=sys.stderr,
                flush=True,
            )
        entries += claims(name, found)
    report("edge_families", entries, chosen)


if __name__ == "__main__":
    main()
