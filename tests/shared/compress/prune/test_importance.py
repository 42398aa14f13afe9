"""Importances: counts of parts sum to the whole, and what does nothing is worth nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from shared.compress.prune.anatomy import anatomy, blocks_of, mixer, reader
from shared.compress.prune.importance import UNIT, importance_counts, importances, magnitudes, skipped
from shared.compress.rewrite.split import split_convolutions
from shared.data.records import UNLABELLED, Records
from shared.distill.evaluation import evaluate
from shared.models.layers import StandardisedConv
from shared.task import Head
from tests.support.networks import TABLE, inputs, network, records
from tests.support.shapes import FAMILIES, PRUNED, deaf

SHAPES = {**FAMILIES, **{f"pruned {name}": shape for name, shape in PRUNED.items()}}


@pytest.mark.parametrize("name", SHAPES)
def test_counts_of_parts_sum_to_the_whole(name: str) -> None:
    task, settings = SHAPES[name]
    student, whole = network(task, settings), records(task, 90)
    parts = [whole.take(rows) for rows in np.split(np.arange(90), [1, 30, 77])]
    total = importance_counts(student, whole, whole)
    found = [importance_counts(student, part, part) for part in parts]
    shape = anatomy(student)
    assert {key: len(value) for key, value in total.items()} == {
        "eval_records": 1,
        "eval_loss": 1,
        "eval_skipped_loss": len(shape.blocks),
        "taylor_records": 1,
        "taylor_heads": shape.heads,
        "taylor_inner": shape.inner,
    }
    for key, counts in total.items():
        assert counts.dtype == np.int64
        assert (counts >= 0).all()
        # Products of matrices are rounded by the shape of their batch, beyond the seventh figure.
        np.testing.assert_allclose(sum(part[key] for part in found), counts, rtol=1e-5, atol=UNIT * 1e-6)


@pytest.mark.parametrize("name", SHAPES)
@torch.no_grad()
def test_what_does_nothing_is_worth_nothing(name: str) -> None:
    task, settings = SHAPES[name]
    student = network(task, settings)
    for _, _, block in blocks_of(student):
        if (mixes := mixer(block)) is not None:
            mixes.get_parameter("weight")[:, : settings.width_of_heads()] = 0
        if (reads := reader(block)) is not None and not isinstance(reads, StandardisedConv):
            deaf(reads, [1])
    worth = importances(anatomy(student), importance_counts(student, records(task, 40), records(task, 40)))
    for (_, _, block), heads, inner in zip(blocks_of(student), worth.heads, worth.inner, strict=True):
        assert heads.size == 0 or (heads[0] == 0 and (len(heads) == 1 or heads[1:].max() > 0))
        assert inner.size == 0 or inner.max() > 0
        assert inner.size == 0 or isinstance(reader(block), StandardisedConv) or inner[1] < 1e-4 * inner.max()


def test_an_estimate_is_the_change_of_the_loss_to_first_order() -> None:
    task, settings = FAMILIES["perceptron"]
    student, seen = network(task, settings), records(task, 2).take(np.array([0]))
    counts = importance_counts(student, seen, seen)
    block = student.get_submodule("blocks.3")
    loss = evaluate(student, seen, 2).loss
    shrink, differences = 1e-2, []
    for channel in range(32):
        weight = block.get_parameter("narrow.weight")
        with torch.no_grad():
            kept = weight[:, channel].clone()
            weight[:, channel] *= 1 - shrink
            differences.append(abs(evaluate(student, seen, 2).loss - loss) / shrink)
            weight[:, channel] = kept
    np.testing.assert_allclose(counts["taylor_inner"][-32:] / UNIT, differences, rtol=0.1, atol=1e-4)


def test_the_cost_of_a_block_is_the_loss_without_it() -> None:
    student, seen = network(*FAMILIES["encoder"]), records(FAMILIES["encoder"][0], 40)
    worth = importances(anatomy(student), importance_counts(student, seen, seen))
    before = evaluate(student, seen, 3).loss
    with skipped(student.get_submodule("blocks.1")):
        without = evaluate(student, seen, 3).loss
    assert worth.blocks[1] == pytest.approx(without - before, abs=1e-4)
    assert evaluate(student, seen, 3).loss == before


def test_without_held_out_records_no_block_has_a_known_cost() -> None:
    student, seen = network(*FAMILIES["table"]), records(TABLE, 20)
    nothing = seen.take(np.zeros(0, np.int64))
    worth = importances(anatomy(student), importance_counts(student, seen, nothing))
    assert np.isnan(worth.blocks).all()
    assert worth.inner[0].max() > 0
    empty = importances(anatomy(student), importance_counts(student, nothing, nothing))
    assert all((own == 0).all() for own in empty.inner)


def test_a_record_without_a_label_counts_with_the_students_own_answer() -> None:
    student, seen = network(*FAMILIES["table"]), records(TABLE, 20)
    own = student(torch.from_numpy(seen.inputs)).argmax(dim=1).numpy()
    unlabelled = Records(seen.inputs, np.full(20, UNLABELLED, np.int64))
    found = importance_counts(student, unlabelled, unlabelled)
    assert int(found["eval_records"][0]) == 0
    expected = importance_counts(student, Records(seen.inputs, own), unlabelled)
    np.testing.assert_array_equal(found["taylor_inner"], expected["taylor_inner"])


def test_a_record_counts_within_its_own_head() -> None:
    labels = ("no", "yes", "low", "mid", "high")
    heads = (Head(name="a", labels=labels[:2]), Head(name="b", labels=labels[2:]))
    task = TABLE.model_copy(update={"labels": labels, "heads": heads})
    student = network(task, FAMILIES["perceptron"][1])
    seen = Records(inputs(task, 20), np.arange(20) % 2)
    before = importance_counts(student, seen, seen)
    with torch.no_grad():
        student.get_parameter("head.bias")[2:] += 5.0
    after = importance_counts(student, seen, seen)
    np.testing.assert_array_equal(before["taylor_inner"], after["taylor_inner"])


@pytest.mark.parametrize("name", FAMILIES)
def test_magnitudes_need_no_record_and_see_what_is_silent(name: str) -> None:
    student = network(*FAMILIES[name])
    with torch.no_grad():
        for _, _, block in blocks_of(student):
            for key, parameter in block.named_parameters():
                if key in ("widen.weight", "first.gain"):
                    parameter[2] = 0
    found = magnitudes(student)
    assert np.isnan(found.blocks).all()
    for parts, heads, inner in zip(anatomy(student).blocks, found.heads, found.inner, strict=True):
        assert (len(heads), len(inner)) == (parts.heads, parts.inner)
        assert not parts.inner or (inner[2] == 0 and np.delete(inner, 2).min() > 0)


def test_a_net_with_nothing_to_lose_inside_its_blocks_is_counted_too() -> None:
    task, settings = FAMILIES["residual"]
    student = split_convolutions(network(task, settings), "factorised")
    assert anatomy(student).inner == 0
    counts = importance_counts(student, records(task, 8), records(task, 8, seed=1))
    assert len(counts["taylor_inner"]) == 0
    assert counts["taylor_records"].tolist() == [8]
