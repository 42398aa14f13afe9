from __future__ import annotations

import numpy as np
import pytest

from shared.compress import runtime
from shared.compress.measure.graphs import FLOAT, UINT8, Sketch, beside, chained


def test_chained_steps_read_each_other():
    def step(sketch: Sketch, last: str, number: int) -> str:
        return sketch.add("Add", [last, sketch.constant(np.float32(1))])

    session = runtime.session(chained(5, (2, 3), step))
    (found,) = session.run(None, {"inputs": np.zeros((2, 3), np.float32)})
    assert (found == 5).all()


@pytest.mark.parametrize("int8", [False, True])
def test_steps_beside_each_other_read_the_same(int8):
    def step(sketch: Sketch, last: str, number: int) -> str:
        return sketch.add("Mul", [last, sketch.constant(np.float32(number + 1))])

    session = runtime.session(beside(3, (1, 4), step, in_int8=int8))
    found = session.run(None, {"inputs": np.ones((1, 4), np.float32)})
    assert [float(entry[0, 0]) for entry in found] == pytest.approx([1, 2, 3])


def test_in_8_bits_every_result_is_kept_in_them():
    content = chained(2, (1, 4), lambda sketch, last, number: sketch.add("Relu", [last]), int8=True)
    (found,) = runtime.session(content).run(None, {"inputs": np.ones((1, 4), np.float32)})
    assert found.dtype == np.uint8
    assert (found == 153).all()


def test_more_inputs_have_names_of_their_own():
    content = chained(1, (2,), lambda sketch, last, number: sketch.add("Add", [last, "other0"]), others=((2,),))
    assert {value.name for value in runtime.session(content).get_inputs()} == {"inputs", "other0"}
    assert FLOAT != UINT8
