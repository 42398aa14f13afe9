"""Sharing from an institution's side: what it counts, what of its rows leaves, and that all else stays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from safetensors.numpy import load

from client.entities import LEAST_LIFT, MOST_LIFT, EntitySharing, Table, table_of
from client.training import Workbench
from shared.attached import blob_of, sized_words
from shared.config import InstitutionConfig, PrivateKnowledge
from shared.data import Split, save_arrays
from shared.data.heart import TASK
from shared.errors import KnowledgeError, ProtocolError
from shared.files import write_atomic
from shared.knowledge.heart import MAPPING
from shared.knowledge.slots import NONE, SLOTS, own_slots, slot_words, unit_of
from shared.knowledge.triples import Graph, graph_of
from shared.models import build, to_vector
from shared.sources import ArrayData
from shared.work import EntitiesWork, TrainWork
from tests.client.test_knowledge import GRAPH_BYTES, RECORDS, SCALES, SHAPE, asked, config

SALT, WIDTH, SLOT_COUNT = b"s" * 32, 4, 1024
OURS = graph_of([(f"a{place}", "knows", f"b{place % 3}", 1.0) for place in range(12)])


def salted(folder: Path, **knowledge: Any) -> InstitutionConfig:
    write_atomic(folder / "salt", SALT, mode=0o600)
    return config(knowledge=PrivateKnowledge(salt_path=folder / "salt", **knowledge))


def shared(version: int = 0, mean_records: float = 60.0, **terms: Any) -> TrainWork:
    work = asked(
        embeddings={"width": WIDTH, "encoder": "none"},
        shared={"slots": SLOT_COUNT, "epochs": 2} | terms,
        mean_records=mean_records,
    )
    return work.model_copy(update={"version": version})


def table(kept: NDArray[np.int64]) -> Table:
    return Table(kept, np.random.default_rng(1).normal(0, 0.1, (len(kept), WIDTH)).astype(np.float32))


def kept_of(graph: Graph, *, foreign: int = 0, leave: int = 0) -> NDArray[np.int64]:
    """Slots as a coordinator keeps them: the graph's own but for some, and some that it has not."""
    own = own_slots(graph.entities, SALT, SLOT_COUNT)
    used = own[own != NONE][leave:]
    others = np.setdiff1d(np.arange(SLOT_COUNT), own)[:foreign]
    return np.sort(np.concatenate([used, others]))


def test_it_counts_its_own_entities_and_without_a_salt_or_a_graph_none(tmp_path: Path) -> None:
    work = EntitiesWork(slots=SLOT_COUNT)
    counts = EntitySharing(salted(tmp_path), tmp_path).counted(work, OURS)
    own = own_slots(OURS.entities, SALT, SLOT_COUNT)
    assert set(np.flatnonzero(counts)) == set(own[own != NONE])
    assert counts.max() == 1
    assert not EntitySharing(config(), tmp_path).counted(work, OURS).any()
    assert not EntitySharing(salted(tmp_path), tmp_path).counted(work, None).any()


def test_a_refusal_does_not_say_where_the_salt_lies_or_how_long_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made = salted(tmp_path)
    path = made.knowledge.salt_path
    assert path is not None
    path.write_bytes(b"short")
    with pytest.raises(KnowledgeError) as caught:
        EntitySharing(made, tmp_path).counted(EntitiesWork(slots=SLOT_COUNT), OURS)
    assert str(path) not in str(caught.value)
    assert "5" not in str(caught.value)
    assert str(path) in caplog.text, "its own operator is told"


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(foreign=st.integers(0, 5), leave=st.integers(0, 15))
def test_rows_that_are_not_its_own_do_not_change_and_what_is_not_kept_never_leaves(tmp_path: Path, foreign: int, leave: int) -> None:
    kept = kept_of(OURS, foreign=foreign, leave=leave)
    found = EntitySharing(salted(tmp_path), tmp_path / "own").learn(shared(), OURS, table(kept), 1, 60)
    change = found.change.reshape(len(kept), WIDTH)
    own = own_slots(OURS.entities, SALT, SLOT_COUNT)
    assert (change != 0).any(axis=1).tolist() == np.isin(kept, own).tolist()
    assert found.entities is not None
    assert found.entities.shape == (len(OURS.entities), WIDTH), "those that too few know are learnt too, here"


def test_without_a_salt_or_triples_its_change_is_zero_and_it_has_no_rows(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = kept_of(OURS)
    for sharing, graph in (
        (EntitySharing(config(), tmp_path), OURS),
        (EntitySharing(salted(tmp_path), tmp_path), None),
        (EntitySharing(salted(tmp_path), tmp_path), graph_of([], entities=["a1", "a2"])),
    ):
        found = sharing.learn(shared(), graph, table(kept), 1, 60)
        assert (found.change.shape, found.change.any(), found.entities) == ((len(kept) * WIDTH,), False, None)
    assert "it shares none of its graph's entities" in caplog.text


def test_the_change_leads_from_the_table_s_row_to_the_embedding_and_weighs_alike_whatever_the_records(tmp_path: Path) -> None:
    kept, unit = kept_of(OURS), unit_of(1.0, len(kept_of(OURS)), WIDTH)
    came, own = table(kept), own_slots(OURS.entities, SALT, SLOT_COUNT)
    for records, lift in ((60, 1.0), (30, 2.0), (1, MOST_LIFT), (100_000, LEAST_LIFT)):
        found = EntitySharing(salted(tmp_path), tmp_path / str(records)).learn(shared(), OURS, came, 1, records)
        assert found.entities is not None
        for entity, slot in enumerate(own):
            row = int(np.searchsorted(kept, slot))
            step = found.change.reshape(-1, WIDTH)[row] / (unit * lift)
            np.testing.assert_allclose(came.rows[row] + step, found.entities[entity], rtol=1e-4, atol=1e-6)


def test_its_own_embeddings_go_on_from_round_to_round_and_a_repeated_round_gives_equal_bits(tmp_path: Path) -> None:
    kept = kept_of(OURS, leave=10)
    works = [shared(version) for version in range(3)]
    one = EntitySharing(salted(tmp_path), tmp_path / "one")
    found = [one.learn(work, OURS, table(kept), number, 60) for number, work in enumerate(works)]
    # A process that died, and one that is asked for its second round again.
    again = EntitySharing(salted(tmp_path), tmp_path / "one").learn(works[1], OURS, table(kept), 1, 60)
    anew = EntitySharing(salted(tmp_path), tmp_path / "anew").learn(works[1], OURS, table(kept), 1, 60)
    other_round = EntitySharing(salted(tmp_path), tmp_path / "one").learn(works[1], OURS, table(kept), 7, 60)
    assert again.change.tobytes() == found[1].change.tobytes()
    assert anew.change.tobytes() != found[1].change.tobytes()
    assert other_round.change.tobytes() != again.change.tobytes(), "no two sums over the same change of a row"


def test_where_relations_begin_is_known_by_the_salt_alone(tmp_path: Path) -> None:
    kept, starts = np.zeros(0, np.int64), []
    for name, salt in (("one", b"x" * 32), ("same", b"x" * 32), ("other", b"y" * 32)):
        site = salted(tmp_path)
        write_atomic(tmp_path / "salt", salt, mode=0o600)
        EntitySharing(site, tmp_path / name).learn(shared(epochs=1), OURS, table(kept), 1, 60)
        (vector,) = load((tmp_path / name / "own-entities-v00001.safetensors").read_bytes()).values()
        starts.append(vector[-WIDTH:])
    assert starts[0].tobytes() == starts[1].tobytes() != starts[2].tobytes()


def test_a_vector_is_cut_where_the_rows_begin() -> None:
    kept = np.array([3, 9], dtype=np.int64)
    unit = np.float32(unit_of(1.0, 2, WIDTH))
    rows = np.arange(8, dtype=np.float32).reshape(2, WIDTH)
    student, found = table_of(shared(), np.concatenate([np.ones(5, np.float32), unit * rows.reshape(-1)]), kept)
    assert student.tolist() == [1.0] * 5
    np.testing.assert_allclose(found.rows, rows, rtol=1e-6)
    with pytest.raises(ProtocolError, match="2 shared rows of 4 numbers are more than the 7 that came"):
        table_of(shared(), np.ones(7, np.float32), kept)


# In the workbench


def bench(folder: Path, **knowledge: Any) -> Workbench:
    save_arrays(folder / "records.npz", Split(RECORDS.take(np.arange(80)), RECORDS.take(np.arange(80, 140))))
    site = salted(folder, **knowledge)
    return Workbench(site.model_copy(update={"data": ArrayData(source="arrays", path=folder / "records.npz")}), folder)


def test_it_counts_the_public_graph_too(tmp_path: Path) -> None:
    digest = asked().knowledge.graph_sha256  # type: ignore[union-attr]
    blob = blob_of(np.zeros(0, np.float32), {"graph": sized_words(GRAPH_BYTES)})
    done = bench(tmp_path).perform(EntitiesWork(slots=SLOT_COUNT, graph_sha256=digest), blob, 1)
    assert (done.update, done.weight) == (None, 80)
    assert 20 < done.counters.sum() == (done.counters == 1).sum()
    path = tmp_path / "private.tsv"
    path.write_text("one private thing\tknows\tanother private thing\n")
    (tmp_path / "with").mkdir()
    more = bench(tmp_path / "with", path=path).perform(EntitiesWork(slots=SLOT_COUNT, graph_sha256=digest), blob, 1)
    assert more.counters.sum() == done.counters.sum() + 2


def test_sharing_leaves_the_student_s_update_as_it_was_and_its_embeddings_are_the_shared_ones(tmp_path: Path) -> None:
    first = to_vector(build(SHAPE, TASK, SCALES, seed=1))
    kept = np.arange(0, SLOT_COUNT, 2)
    public = {"graph": sized_words(GRAPH_BYTES), "mapping": sized_words(MAPPING.canonical())}
    words = {**public, SLOTS: slot_words(kept.tolist(), SLOT_COUNT)}
    vector = np.concatenate([first, table(kept).rows.reshape(-1) * np.float32(unit_of(1.0, len(kept), WIDTH))])
    works = {"alone": asked(embeddings={"width": WIDTH, "epochs": 1, "encoder": "none"}), "together": shared()}
    updates = {}
    for name, work in works.items():
        (tmp_path / name).mkdir()
        blob = blob_of(vector if name == "together" else first, words if name == "together" else public)
        updates[name] = bench(tmp_path / name).perform(work, blob, 4).update
    alone, together = updates["alone"], updates["together"]
    assert alone is not None
    assert together is not None
    assert together.size == vector.size
    assert together[: first.size].tobytes() == alone.tobytes(), "terms of weight 0 and a table behind change no bit of it"
    assert (together[first.size :].reshape(-1, WIDTH) != 0).any(axis=1).sum() > 5

    held = replace_weight(works["together"], 1.0)
    other = blob_of(np.concatenate([first, np.zeros(len(kept) * WIDTH, np.float32)]), words)
    found = []
    for name, blob in (("drawn", blob_of(vector, words)), ("zero", other)):
        (tmp_path / name).mkdir()
        found.append(bench(tmp_path / name).perform(held, blob, 4).update)
    assert found[0][: first.size].tobytes() != found[1][: first.size].tobytes(), "what is held to depends on the rows that came"  # type: ignore[index]


def replace_weight(work: TrainWork, weight: float) -> TrainWork:
    knowledge = work.knowledge
    assert knowledge is not None
    assert knowledge.embeddings is not None
    embeddings = knowledge.embeddings.model_copy(update={"record_weight": weight})
    return work.model_copy(update={"knowledge": knowledge.model_copy(update={"embeddings": embeddings})})
