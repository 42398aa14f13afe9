"""The law of pruning: without what contributes nothing a student answers as before; without nothing it is the same."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.compress.prune.anatomy import Anatomy, anatomy, blocks_of, mixer, reader
from shared.compress.prune.apply import prune
from shared.compress.prune.plan import PruningPlan, keep_all
from shared.compress.rewrite.plain import plain_convolutions
from shared.errors import ConfigError
from shared.models import Network, count_parameters, save_model
from shared.models.checkpoint import load_model, model_bytes
from shared.models.convolutions import ShiftedConv, kernel_of
from tests.support.networks import inputs, network
from tests.support.shapes import FAMILIES, PRUNED, deaf


@st.composite
def plans(draw: st.DrawFn, whole: Anatomy) -> PruningPlan:
    kept = []
    for place, block in enumerate(whole.blocks):
        others = [other for other in range(len(whole.blocks)) if whole.blocks[other].stage == block.stage and other != place]
        alone = not any(other in kept or other > place for other in others)
        if alone or not block.removable or draw(st.booleans()):
            kept.append(place)

    def some(count: int) -> tuple[int, ...]:
        return tuple(sorted(draw(st.sets(st.integers(0, count - 1), min_size=1)))) if count else ()

    blocks = [whole.blocks[place] for place in kept]
    return PruningPlan(
        blocks=tuple(kept), heads=tuple(some(block.heads) for block in blocks), inner=tuple(some(block.inner) for block in blocks)
    )


@torch.no_grad()
def silence(student: Network, plan: PruningPlan) -> None:
    """Nothing that the plan leaves out contributes any more."""
    for place, (_, _, block) in enumerate(blocks_of(student)):
        if place not in plan.blocks:
            for name, parameter in block.named_parameters():
                if name.startswith(("mix.", "narrow.", "second.mix.", "second.down.")) or (
                    name.startswith("second.") and name.count(".") == 1
                ):
                    parameter.zero_()
            continue
        row = plan.blocks.index(place)
        if (mixes := mixer(block)) is not None:
            heads = mixes.get_parameter("weight").view(len(mixes.get_parameter("bias")), -1, student.settings.width_of_heads())
            heads[:, [head for head in range(heads.shape[1]) if head not in plan.heads[row]]] = 0
        if (reads := reader(block)) is not None:
            deaf(reads, [channel for channel in range(anatomy(student).blocks[place].inner) if channel not in plan.inner[row]])


@pytest.mark.parametrize("name", [*FAMILIES, "pruned table", "pruned residual", "pruned mobile"])
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_without_what_contributes_nothing_a_student_answers_as_before(name: str, data: st.DataObject) -> None:
    task, shape = PRUNED[name.removeprefix("pruned ")] if name.startswith("pruned ") else FAMILIES[name]
    student = plain_convolutions(network(task, shape))
    plan = data.draw(plans(anatomy(student)))
    silence(student, plan)
    before = model_bytes(student)
    smaller = prune(student, plan)
    rows = torch.from_numpy(inputs(task, 7))
    torch.testing.assert_close(smaller(rows), student(rows), atol=2e-5, rtol=1e-4)
    assert model_bytes(student) == before
    found = anatomy(smaller).blocks
    assert [(block.heads, block.inner) for block in found] == [(len(h), len(i)) for h, i in zip(plan.heads, plan.inner, strict=True)]


@pytest.mark.parametrize("name", FAMILIES)
def test_pruning_nothing_is_the_identity(name: str) -> None:
    student = network(*FAMILIES[name])
    assert model_bytes(prune(student, keep_all(anatomy(student)))) == model_bytes(student)


@pytest.mark.parametrize("name", [*FAMILIES])
def test_what_is_kept_is_copied_and_comes_back_from_its_file(name: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    student = network(*FAMILIES[name])
    whole = keep_all(anatomy(student))
    plan = whole.model_copy(update={"heads": tuple(own[1:] for own in whole.heads), "inner": tuple(own[::2] for own in whole.inner)})
    smaller = prune(student, plan)
    assert count_parameters(smaller) < count_parameters(student)
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, smaller)
    assert model_bytes(load_model(path)) == model_bytes(smaller)
    # A kernel with fewer inputs is said in another way, and is the same kernel.
    skipped = ("second.gain", "second.shift")
    kept = {value for tensor in [*plain_convolutions(student).parameters(), *kernels(student)] for value in rounded(tensor)}
    for key, parameter in smaller.named_parameters():
        assert key.endswith(skipped) or set(rounded(parameter)) <= kept


def kernels(student: Network) -> list[torch.Tensor]:
    return [kernel_of(layer) for layer in plain_convolutions(student).modules() if isinstance(layer, ShiftedConv)]


def rounded(tensor: torch.Tensor) -> list[float]:
    return [float(f"{value:.4g}") for value in tensor.flatten().tolist()]


def test_pruning_twice_is_pruning_once() -> None:
    student = network(*FAMILIES["table"])
    whole = keep_all(anatomy(student))
    first = PruningPlan(blocks=(0, 2, 3), heads=((0, 1, 3),) * 3, inner=(tuple(range(0, 32, 2)),) * 3)
    then = PruningPlan(blocks=(1, 2), heads=((0, 2),) * 2, inner=(tuple(range(8)),) * 2)
    once = PruningPlan(blocks=(2, 3), heads=((0, 3),) * 2, inner=(tuple(range(0, 16, 2)),) * 2)
    assert model_bytes(prune(prune(student, first), then)) == model_bytes(prune(student, once))
    assert whole.blocks == (0, 1, 2, 3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"blocks": (0, 1, 2, 4)}, "names blocks that the student has not"),
        ({"blocks": (0, 2, 1, 3)}, "names blocks that the student has not"),
        ({"blocks": (0, 1)}, "names blocks that the student has not"),
        ({"heads": ((),) * 4}, "keeps heads or channels that block 0 has not"),
        ({"heads": ((0, 4),) * 4}, "keeps heads or channels that block 0 has not"),
        ({"inner": ((-1,),) * 4}, "keeps heads or channels that block 0 has not"),
        ({"inner": ((1, 1),) * 4}, "keeps heads or channels that block 0 has not"),
    ],
)
def test_a_plan_of_another_student_is_refused(changed: dict[str, object], said: str) -> None:
    student = network(*FAMILIES["table"])
    with pytest.raises(ConfigError, match=said):
        prune(student, keep_all(anatomy(student)).model_copy(update=changed))


@pytest.mark.parametrize("gone", [2, None])
def test_a_stage_keeps_what_its_shape_needs(gone: int | None) -> None:
    student = network(*FAMILIES["residual"])
    whole = keep_all(anatomy(student))
    kept = [place for place in whole.blocks if place not in ((gone,) if gone is not None else (0, 1))]
    plan = PruningPlan(
        blocks=tuple(kept), heads=tuple(whole.heads[place] for place in kept), inner=tuple(whole.inner[place] for place in kept)
    )
    with pytest.raises(ConfigError, match="removes a block that the student's shape needs"):
        prune(student, plan)
