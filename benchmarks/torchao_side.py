"""torchao's side of ``benchmarks/edge_families.py``: runs in a Python that has torch, torchao, onnx and onnxscript; needs nothing of ours.

``python -m benchmarks.torchao_side PROGRAM RECORDS MADE FOUND``: PROGRAM is the student as ``torch.export`` saves it, exported strictly;
RECORDS an .npz with ``known`` (to calibrate on), ``test`` and ``labels``. As torchao's own documentation does it for x86 processors, in 7
bits where one has no VNNI:

- static: ``prepare_pt2e`` and ``convert_pt2e`` with the defaults of ``X86InductorQuantizer``. torch's exporter writes it to MADE, an ONNX
  file; inductor compiles it, with frozen weights, for ``torchao_torch_static``.
- dynamic: ``quantize_`` with ``Int8DynamicActivationInt8WeightConfig``, which knows linear layers only. A program has none, so each
  product with a weight becomes one again. ``torchao_torch_dynamic`` runs it eagerly, ``torchao_torch_dynamic_compiled`` under inductor.
- ``torch_compiled`` is the float student under inductor: what compiling alone wins.

FOUND gets, after each way, a JSON of ``figures`` (``accuracy`` and ``ms`` by way) and ``reasons`` (why a way has none). One record, one
thread, the least of three medians.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, fx, nn

OPSET = 21
TURNS, REPEATS, WARM_UP = 3, 200, 20
Model = Callable[[Tensor], Tensor]


class Given(NamedTuple):
    """The float program, the records to calibrate on, and those to measure with."""

    program: torch.export.ExportedProgram
    known: Tensor
    test: Tensor
    labels: Tensor


class Found:
    """What was measured and what was not, kept in a file from the first way on: a later one may end the process."""

    def __init__(self, path: Path) -> None:
        self.figures: dict[str, dict[str, float]] = {}
        self.reasons: dict[str, str] = {}
        self._path = path

    def attempt(self, way: str, work: Callable[[], dict[str, float] | None]) -> None:
        """Keeps the figures of ``work``, or why it failed; ``None`` is a way without figures of its own."""
        try:
            figures = work()
        except Exception as error:  # torch's exporter and compiler raise many kinds
            self.reasons[way] = reason(error)
        else:
            if figures is not None:
                self.figures[way] = figures
        self._path.write_text(json.dumps({"figures": self.figures, "reasons": self.reasons}))


def reason(error: BaseException) -> str:
    """The first line of the innermost cause that says anything: torch's exporter wraps causes in pages of advice."""
    while error.__cause__ is not None and str(error.__cause__).strip():
        error = error.__cause__
    line = next((line.strip() for line in str(error).splitlines() if line.strip()), "it does not say why")
    return f"{type(error).__name__}: {line}"


def static(given: Given) -> fx.GraphModule:
    """The program with its operators quantised. Raises ``RuntimeError`` where the quantiser finds none: it does not say so itself."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86
    from torchao.utils import should_reduce_range

    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config(reduce_range=should_reduce_range(torch.device("cpu"))))
    prepared = prepare_pt2e(given.program.module(), quantizer)
    with torch.no_grad():
        for row in range(len(given.known)):
            prepared(given.known[row : row + 1])
        converted: fx.GraphModule = convert_pt2e(prepared)
    if not any("quantize_per" in str(node.target) for node in converted.graph.nodes):
        raise RuntimeError("X86InductorQuantizer found no operator to quantise")
    return converted


def dynamic(given: Given) -> nn.Module:
    """The program with its linear layers quantised. Raises ``RuntimeError`` where it has none."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_
    from torchao.utils import should_reduce_range

    model, count = with_linears(given.program)
    if not count:
        raise RuntimeError("quantize_ found no linear layer")
    quantize_(model, Int8DynamicActivationInt8WeightConfig(reduce_range=should_reduce_range(torch.device("cpu"))))
    return model


def with_linears(program: torch.export.ExportedProgram) -> tuple[nn.Module, int]:
    """The program as a module in which each product with a weight of its own is an ``nn.Linear``, and how many those are."""
    model = program.module()
    assert isinstance(model, fx.GraphModule)
    products = [node for node in model.graph.nodes if node.target is torch.ops.aten.linear.default and node.args[1].op == "get_attr"]
    for place, node in enumerate(products):
        inputs, weight, *bias = node.args
        value = model.get_parameter(weight.target)
        layer = nn.Linear(value.shape[1], value.shape[0], bias=bool(bias and bias[0] is not None))
        layer.weight = value
        if layer.bias is not None:
            layer.bias = model.get_parameter(bias[0].target)
        model.add_submodule(f"linear_{place}", layer)
        with model.graph.inserting_before(node):
            node.replace_all_uses_with(model.graph.call_module(f"linear_{place}", (inputs,)))
        model.graph.erase_node(node)
    model.recompile()
    return model, len(products)


def export(model: nn.Module, given: Given, path: Path) -> None:
    """The model as an ONNX file whose batch is dynamic: ``inputs`` -> ``logits``."""
    from onnx_ir.passes.common import ClearMetadataAndDocStringPass

    made = torch.onnx.export(
        model,
        (given.known[:3],),
        dynamo=True,
        opset_version=OPSET,
        input_names=["inputs"],
        output_names=["logits"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
        verbose=False,
    )
    assert made is not None
    # The exporter writes down where each node came from: up to two thirds of so small a file.
    ClearMetadataAndDocStringPass()(made.model)
    made.save(path)


def compiled(model: nn.Module) -> Model:
    """The model under inductor, frozen as torchao's documentation says; it is compiled in the first call."""
    import torch._inductor.config as inductor

    torch._dynamo.reset()
    inductor.freezing = True
    # Its compiling processes would go on beside what is timed.
    inductor.compile_threads = 1
    made: Model = torch.compile(model, dynamic=False)
    return made


def measured(model: Model, given: Given) -> dict[str, float]:
    """Accuracy on the test records, one at a time, and the milliseconds of the first."""
    with torch.no_grad():
        answers = torch.cat([model(given.test[row : row + 1]).argmax(dim=1) for row in range(len(given.test))])
        seconds = min(_median(model, given.test[:1]) for _ in range(TURNS))
    return {"accuracy": float((answers == given.labels).double().mean()), "ms": 1000 * seconds}


def _median(model: Model, record: Tensor) -> float:
    durations = []
    for turn in range(WARM_UP + REPEATS):
        start = time.perf_counter()
        model(record)
        if turn >= WARM_UP:
            durations.append(time.perf_counter() - start)
    return statistics.median(durations)


def main(arguments: list[str]) -> None:
    """Every way in turn, each from the program anew: what one does to a model is not the next one's."""
    program, records, made, answer = map(Path, arguments)
    torch.set_num_threads(1)
    with np.load(records, allow_pickle=False) as loaded:
        given = Given(torch.export.load(program), *(torch.from_numpy(loaded[name]) for name in ("known", "test", "labels")))
    found = Found(answer)
    found.attempt("torch_compiled", lambda: measured(compiled(given.program.module()), given))
    found.attempt("torchao", lambda: export(static(given), given, made))
    found.attempt("torchao_torch_static", lambda: measured(compiled(static(given)), given))
    # Last, for its configuration changes inductor's.
    found.attempt("torchao_torch_dynamic", lambda: measured(dynamic(given), given))
    found.attempt("torchao_torch_dynamic_compiled", lambda: measured(compiled(dynamic(given)), given))


if __name__ == "__main__":
    main(sys.argv[1:])
