"""A student whose forward has the arithmetic of its INT8 file: any fit that takes a student trains it to live with the grid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from shared.compress import runtime
from shared.compress.export import example_inputs, export_float
from shared.compress.grids import WHOLE_GRIDS, recipe, saturates_here
from shared.compress.qat import fake
from shared.compress.qat.calls import PRODUCTS, Call, Changed, in_place
from shared.compress.qat.mapping import CallPlan, call_plan
from shared.compress.qat.steps import Steps
from shared.compress.quantise import MOST_BIAS_STEPS, STORED_LIMIT, Ranges, quantise
from shared.errors import ArtifactError
from shared.models.features import Features, features
from shared.models.network import Network, predict_logits, trimmed_for

EXAMPLES = 4
"""Records by which the calls of a student are told apart."""
CLOSE = 0.02
"""Largest root mean square difference of logits between torch's arithmetic and the runtime's, relative to their spread over the
records: a value that falls half-way between two steps of the grid may be rounded up here and down there."""
CLOSER = 0.5
"""Where logits hardly differ from record to record: largest part of the difference between float and INT8 that it may be."""


class QuantisationAware(Network):
    """Wraps a student, whose parameters it trains; ``learn`` trains the ends of the activations' ranges too.

    A range's ends are ``low exp(a)`` and ``high exp(b)``: one step of an optimiser changes each by the same part of
    itself, however large it is, and an end at zero, on which a ReLU relies, stays there (Jain et al. 2020, "Trained
    quantization thresholds", section 3.3, on why thresholds are learnt as logarithms).
    """

    def __init__(self, student: Network, ranges: Ranges, grid: str, *, learn: bool = True) -> None:
        """``ranges``: as of :func:`shared.compress.quantise.quantise`, from calibration; ``grid``: a name of ``devices.RECIPES``.

        Raises :class:`ArtifactError` for a missing range, and where the student makes calls that cannot be matched with its graph.
        """
        super().__init__(student.settings, student.task, student.normalisation)
        how = recipe(grid)
        if grid not in WHOLE_GRIDS:
            raise ArtifactError(f"a student cannot learn with '{grid}', which is not one arithmetic; choose among {', '.join(WHOLE_GRIDS)}")
        content = export_float(student, student.task)
        quantise(content, ranges, grid)  # complains of missing ranges
        self.student, self.grid = student, grid
        self.names = tuple(sorted(ranges))
        self._limit = how.grid.limit
        bounds = torch.tensor([ranges[name] for name in self.names], dtype=torch.float32).reshape(-1, 2)
        self.register_buffer("bounds", torch.stack([bounds[:, 0].clamp(max=0.0), bounds[:, 1].clamp(min=0.0)], dim=1))
        self.ends = nn.Parameter(torch.zeros_like(bounds), requires_grad=learn)
        self._steps, self._stored = Steps(self._limit), Steps(STORED_LIMIT)
        self._plans = _plans(content, student, attention=not how.attention_in_float)

    def features(self, inputs: Tensor) -> Features:
        """As the student's, computed on the grid."""
        with self._on_grid("features") as mode:
            found = features(self.student, inputs)
        mode.check()
        return found

    def forward(self, inputs: Tensor) -> Tensor:
        """As the student's, computed on the grid."""
        with self._on_grid("forward") as mode:
            found = self.student(inputs)
        mode.check()
        return found

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The ranges as they are now, for :func:`shared.compress.quantise.quantise`."""
        with torch.no_grad():
            found = self._ranges().tolist()
        return {name: (low, high) for name, (low, high) in zip(self.names, found, strict=True)}

    def _ranges(self) -> Tensor:
        return self.get_buffer("bounds") * self.ends.exp()

    def _on_grid(self, entry: str) -> _Arithmetic:
        ends = self._ranges()
        grids = {
            name: fake.Grid.over(low, high, own if self.ends.requires_grad else None)
            for name, (low, high), own in zip(self.names, ends.detach().tolist(), ends, strict=True)
        }
        return _Arithmetic(self._plans[entry], grids, self._limit, self._steps, self._stored)


class _Arithmetic(Changed):
    """One forward on the grid."""

    def __init__(self, plan: CallPlan, grids: Mapping[str, fake.Grid], limit: int, steps: Steps, stored: Steps) -> None:
        super().__init__(plan.kinds, self._call)
        self._plan, self._grids, self._limit, self._steps, self._stored = plan, grids, limit, steps, stored
        self._met: set[Call] = set()

    def check(self) -> None:
        """Raises :class:`ArtifactError` where the forward made other calls than when it was looked at."""
        missing = sorted(self._plan.calls - self._met)
        if missing:
            raise ArtifactError(
                f"the student made no {missing[0].kind} number {missing[0].number} this time: its forward takes another way in training; "
                "compress it without quantisation-aware training"
            )

    def _call(self, call: Call, function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self._met.add(call)
        if call in self._plan.absorbed:
            return fake.activations(arguments[0], self._grids[self._plan.written[call]])
        if call in self._plan.products:
            result = self._product(call, function, arguments, named)
        elif call in self._plan.stored:
            result = self._restored(call, function, arguments, named)
        else:
            result = function(*arguments, **named)
        if call in self._plan.tables:
            result = fake.rows(result)
        if call in self._plan.written:
            result = fake.activations(result, self._grids[self._plan.written[call]])
        return result

    def _product(self, call: Call, function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        places, product = PRODUCTS[call.kind], self._plan.products[call]
        given = in_place(places, arguments, named)
        left = {name: value for name, value in named.items() if name not in places.names}
        grid = self._grids[product.activation]
        values, weights = given[places.values].float(), given[places.weights].float()
        steps = self._steps.of(call, weights, places.axis)
        if product.biased and places.bias is not None and len(given) > places.bias and given[places.bias] is not None:
            bias = given[places.bias].float()
            steps = torch.maximum(steps, bias.detach().abs() / (grid.scale * MOST_BIAS_STEPS))
            given[places.bias] = fake.bias(bias, steps, grid.scale)
        given[places.values] = values if product.ready else fake.activations(values, grid)
        given[places.weights] = fake.weights(weights, steps, places.axis, self._limit)
        # Steps of 8 bits times their scale need more digits than bfloat16 has.
        with torch.autocast(values.device.type, enabled=False):
            return function(*given, **left)

    def _restored(self, call: Call, function: Any, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
        # In float, with weights as the file keeps them.
        places = PRODUCTS[call.kind]
        given = in_place(places, arguments, named)
        weights = given[places.weights].float()
        given[places.weights] = fake.weights(weights, self._stored.of(call, weights, places.axis), places.axis, STORED_LIMIT)
        return function(*given, **{name: value for name, value in named.items() if name not in places.names})


def _plans(content: bytes, student: Network, *, attention: bool) -> dict[str, CallPlan]:
    # Invented records: what can be told apart must not depend on whose records are looked at.
    inputs = trimmed_for(student, torch.from_numpy(example_inputs(student.task, EXAMPLES))).numpy()
    was_training = student.training
    student.eval()
    try:
        return {
            "forward": call_plan(content, student, inputs, attention=attention),
            "features": call_plan(content, lambda one: features(student, one), inputs, attention=attention),
        }
    finally:
        student.train(was_training)


def prove(student: QuantisationAware, inputs: NDArray[Any]) -> float:
    """Root mean square difference between the student's logits on raw ``inputs`` and those of its INT8 file in the runtime, relative
    to their spread over the records.

    Raises :class:`ArtifactError` where that is more than :data:`CLOSE` and more than :data:`CLOSER` says.
    """
    content = quantise(export_float(student.student, student.task), student.ranges(), student.grid)
    found = runtime.logits(runtime.session(content, exact=saturates_here(student.grid)), inputs)
    own, plain = (float(np.sqrt(np.mean((predict_logits(one, inputs) - found) ** 2))) for one in (student, student.student))
    difference = own / max(float((found - found.mean(axis=0)).std()), 1e-6)
    if difference > CLOSE and own > CLOSER * plain:
        raise ArtifactError(
            f"torch's INT8 arithmetic and the runtime's differ by {difference:.3f} of the logits' spread; compress this student without "
            "quantisation-aware training"
        )
    return difference
