"""What an institution makes of a federation's knowledge: bound by its digest, joined with what is its own, and never believed blindly."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load

from client.knowledge import InstitutionKnowledge, Lessons, trust_counters
from client.policy import check_plan
from client.training import Workbench
from shared.attached import GRAPH, blob_of, sized_words
from shared.attached import MAPPING as MAPPING_NAME
from shared.config import InstitutionConfig, PolicySettings, PrivateKnowledge
from shared.data import Split, save_arrays
from shared.data.heart import TASK, read_heart
from shared.entity_table import entity_table
from shared.errors import ConfigError, KnowledgeError, PolicyRefusal, ProtocolError
from shared.knowledge.embedding import means
from shared.knowledge.embedding_file import load_embeddings, save_embeddings
from shared.knowledge.heart import DISEASE, MAPPING, SOUND, read_heart_graph
from shared.knowledge.inductive import carried_over
from shared.knowledge.members import members
from shared.knowledge.packed import pack_graph
from shared.knowledge.pretraining import PretrainingSettings, pretrain
from shared.knowledge.triples import graph_of, joined, shuffled
from shared.models import build, load_vector, to_vector
from shared.secagg.messages import Layout
from shared.settings import DistillationSettings, NetworkSettings, TrainingSettings
from shared.sources import ArrayData
from shared.task import CategoricalColumn
from shared.work import FIXED_POINT, KnowledgeWork, Normalisation, TrainWork, counter_fields, field_slices
from tests.client.test_policy import plan

RECORDS = read_heart()["cleveland"]
GRAPH_BYTES = pack_graph(read_heart_graph())
NUMERIC = [column for column in TASK.columns if column.kind == "numeric"]
SCALES = Normalisation(means=(0.0,) * len(NUMERIC), deviations=(100.0,) * len(NUMERIC))
SHAPE = NetworkSettings(width=8, depth=1)


def asked(content: bytes = GRAPH_BYTES, **changed: Any) -> TrainWork:
    digests = {"graph_sha256": digest(content), "mapping_sha256": digest(MAPPING.canonical())}
    terms = digests | {"pool": 200} | changed
    return TrainWork(
        version=0,
        seed=7,
        normalisation=SCALES,
        training=TrainingSettings(epochs=1),
        distillation=DistillationSettings(teacher="none"),
        knowledge=KnowledgeWork.model_validate(terms),
    )


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest() if content else ""


def tensors(content: bytes = GRAPH_BYTES, mapping: bytes = MAPPING.canonical()) -> dict[str, Any]:
    return {MAPPING_NAME: sized_words(mapping), **({GRAPH: sized_words(content)} if content else {})}


def institution(**knowledge: Any) -> InstitutionKnowledge:
    return InstitutionKnowledge(config(knowledge=PrivateKnowledge.model_validate(knowledge)), RECORDS)


def config(**changed: Any) -> InstitutionConfig:
    data = ArrayData(source="arrays", path=Path("records.npz"))
    return InstitutionConfig.model_validate({"name": "ash", "task": TASK, "data": data, "student": SHAPE, **changed})


def table_of(lessons: Lessons) -> bytes:
    return lessons.auxiliary.table.tobytes() if lessons.auxiliary is not None else b""


def test_the_public_graph_teaches_the_same_each_time_and_other_records_each_round() -> None:
    one, other = institution(), institution()
    first, again, next_one = (found.lessons(asked(), tensors(), number).auxiliary for found, number in ((one, 3), (other, 3), (one, 4)))
    assert first is not None
    assert again is not None
    assert next_one is not None
    assert one.lessons(asked(), tensors(), 3).trust > 0.1
    np.testing.assert_array_equal(first.inputs, again.inputs)
    assert first.inputs.tobytes() != next_one.inputs.tobytes()


@pytest.mark.parametrize("content", [GRAPH_BYTES[:-1], GRAPH_BYTES + b"x", pack_graph(shuffled(read_heart_graph(), 1))])
def test_another_graph_than_the_plan_names_is_refused(content: bytes) -> None:
    with pytest.raises(ProtocolError, match="is not the one that the plan names by its SHA-256"):
        institution().lessons(asked(), tensors(content), 1)
    with pytest.raises(ProtocolError, match="did not come whole"):
        institution().lessons(asked(), {}, 1)


def test_another_mapping_than_the_plan_names_and_one_that_is_none_are_refused() -> None:
    fewer = MAPPING.model_copy(update={"columns": MAPPING.columns[:6]}).canonical()
    with pytest.raises(ProtocolError, match="the mapping that came is not the one that the plan names"):
        institution().lessons(asked(), tensors(mapping=fewer), 1)
    with pytest.raises(KnowledgeError, match="not one of this release"):
        institution().lessons(asked(mapping_sha256=digest(b"{}")), tensors(mapping=b"{}"), 1)


def test_what_an_institution_knows_by_itself_is_not_told_in_a_refusal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "private.tsv"
    path.write_text("the index patient\thas\n")
    with pytest.raises(KnowledgeError) as caught:
        institution(path=path).lessons(asked(), tensors(), 1)
    assert "its operator finds the cause in its own log" in str(caught.value)
    assert "private.tsv" not in str(caught.value)
    assert "private.tsv" in caplog.text
    secret = MAPPING.model_copy(update={"classes": {"yes": "the secret entity"}})
    with pytest.raises(KnowledgeError) as caught:
        institution(mapping=secret).lessons(asked(), tensors(), 1)
    assert "secret" not in str(caught.value)


def test_bytes_that_the_plan_names_but_nobody_packed_are_refused_too() -> None:
    with pytest.raises(KnowledgeError, match="damaged"):
        institution().lessons(asked(b"not a graph"), tensors(b"not a graph"), 1)


def test_a_graph_that_the_labels_speak_against_is_left_out() -> None:
    swapped = {SOUND: DISEASE, DISEASE: SOUND}
    rows = [
        (swapped.get(head, head), relation, swapped.get(tail, tail), weight) for head, relation, tail, weight in read_heart_graph().rows()
    ]
    content = pack_graph(graph_of(rows))
    found = institution().lessons(asked(content, embeddings={"prototype_weight": 1.0}), tensors(content), 1)
    assert found == Lessons(), "neither imagined records nor embeddings"


def test_private_triples_join_the_public_ones_and_can_stand_alone(tmp_path: Path) -> None:
    path, graph = tmp_path / "private.tsv", read_heart_graph()
    rows = list(graph.rows())
    path.write_text("".join("\t".join(row[:3]) + "\n" for row in rows[::2]) + "only two\tcells\n")
    rest = pack_graph(graph_of(rows[1::2], entities=graph.entities))
    whole, both = institution().lessons(asked(), tensors(), 1), institution(path=path).lessons(asked(rest), tensors(rest), 1)
    assert both.trust == pytest.approx(whole.trust)
    assert table_of(both) == table_of(whole)
    assert table_of(institution(path=path).lessons(asked(b""), tensors(b""), 1)) != table_of(whole)


def test_embeddings_made_before_serve_a_graph_that_has_grown_since(tmp_path: Path) -> None:
    graph, settings = read_heart_graph(), PretrainingSettings(width=8, epochs=2)
    public = graph_of([row for row in graph.rows() if "angina on exercise" not in (row[0], row[2])])
    save_embeddings(tmp_path / "public.safetensors", public, pretrain(public, settings, 1), settings, 1)
    private = graph_of([row for row in graph.rows() if "angina on exercise" in (row[0], row[2])])
    (tmp_path / "private.tsv").write_text("".join("\t".join(row[:3]) + "\n" for row in private.rows()))
    content, terms = pack_graph(public), {"record_weight": 1.0, "width": 8, "encoder": "none"}
    own: dict[str, Any] = {"path": tmp_path / "private.tsv", "embeddings_path": tmp_path / "public.safetensors"}
    known = institution(**own).lessons(asked(content, embeddings=terms), tensors(content), 1).known
    assert known is not None
    table = carried_over(joined(public, private), load_embeddings(own["embeddings_path"]), 8)
    named = members(joined(public, private), MAPPING, TASK, RECORDS, None)
    np.testing.assert_array_equal(known.records, means(table, named))


@pytest.mark.parametrize("content", [None, b"no embeddings"])
def test_embeddings_that_are_not_there_or_none_are_not_told_of_in_a_refusal(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    path = tmp_path / "ours.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(KnowledgeError) as caught:
        institution(embeddings_path=path).lessons(asked(embeddings={"record_weight": 1.0}), tensors(), 1)
    assert "ours.safetensors" not in str(caught.value)
    assert "ours.safetensors" in caplog.text
    assert institution(embeddings_path=path).lessons(asked(), tensors(), 1).trust > 0.1, "no plan asks for embeddings"


def test_an_institution_may_map_by_itself_or_want_no_graph() -> None:
    assert institution(use=False).lessons(asked(), tensors(), 1) == Lessons()
    assert institution().lessons(asked(b""), tensors(b""), 1) == Lessons(), "there is no graph, neither public nor private"
    own = MAPPING.model_copy(update={"columns": MAPPING.columns[:6]})
    assert table_of(institution(mapping=own).lessons(asked(), tensors(), 1)) != table_of(institution().lessons(asked(), tensors(), 1))
    with pytest.raises(KnowledgeError, match="neither the plan nor"):
        institution().lessons(asked(mapping_sha256=""), tensors(), 1)


def test_what_the_policy_pins_is_what_it_learns_from() -> None:
    pinned = config(policy=PolicySettings(graph_sha256=asked().knowledge.graph_sha256))  # type: ignore[union-attr]
    other = asked(b"another")
    layout = Layout(update_words=7, counters=sum(field.length for field in counter_fields(asked(), TASK)))
    check_plan(pinned, plan(asked(), layout=layout), asked())
    with pytest.raises(PolicyRefusal, match="is not the one it learns from"):
        check_plan(pinned, plan(other, layout=layout), other)


def bench(folder: Path) -> Workbench:
    folder.mkdir()
    save_arrays(folder / "records.npz", Split(RECORDS.take(np.arange(80)), RECORDS.take(np.arange(80, 140))))
    return Workbench(config(data=ArrayData(source="arrays", path=folder / "records.npz")), folder)


def test_a_round_learns_from_the_graph_and_counts_its_trust(tmp_path: Path) -> None:
    vector = to_vector(build(SHAPE, TASK, SCALES, seed=1))
    found = {}
    for name, content, words in (("with", GRAPH_BYTES, tensors()), ("without", b"", tensors(b""))):
        work = asked(content)
        done = bench(tmp_path / name).perform(work, blob_of(vector, words), 1)
        counters = {field: done.counters[place] for field, place in field_slices(counter_fields(work, TASK))}
        found[name] = done.update, int(counters["eval_trust"][0]), int(counters["eval_knowing"][0])
    assert found["without"][1:] == (0, 0)
    assert 0.1 * FIXED_POINT < found["with"][1] < FIXED_POINT
    assert found["with"][2] == 1
    assert found["with"][0].tobytes() != found["without"][0].tobytes()  # type: ignore[union-attr]
    assert load(blob_of(vector, tensors()))["vector"].tobytes() == vector.tobytes()


def test_embeddings_hold_the_student_and_their_projection_is_kept(tmp_path: Path) -> None:
    vector = to_vector(build(SHAPE, TASK, SCALES, seed=1))
    terms = {"embeddings": {"record_weight": 1.0, "prototype_weight": 1.0, "smoothing": 0.1, "width": 8, "epochs": 2, "steps": 2}}
    works = {"a": asked(), "b": asked(**terms)}
    plain, held = (bench(tmp_path / name).perform(work, blob_of(vector, tensors()), 1) for name, work in works.items())
    assert plain.update.tobytes() != held.update.tobytes()  # type: ignore[union-attr]
    kept = load((tmp_path / "b" / "state" / "alignment-v00001.safetensors").read_bytes())
    assert kept["knowledge.project.linear.weight"].shape == (8, 8)
    assert "knowledge.records" not in kept, "what a graph knows of records stays out of it"


def test_counters_are_asked_for_by_the_work_alone() -> None:
    silent = asked().model_copy(update={"knowledge": None})
    assert trust_counters(silent, Lessons(trust=0.5)) == {}
    assert "eval_trust" not in [field.name for field in counter_fields(silent, TASK)]


def test_a_student_with_a_table_learns_what_to_make_of_it(tmp_path: Path) -> None:
    column = next(column for column in TASK.columns if isinstance(column, CategoricalColumn))
    table = entity_table(column.name, np.random.default_rng(1).normal(size=(len(column.categories), 3)))
    scales = SCALES.model_copy(update={"tables": (table,)})
    student = build(SHAPE, TASK, scales, seed=1)
    work = asked().model_copy(update={"normalisation": scales, "knowledge": None})
    made = bench(tmp_path / "own")
    update = made.perform(work, blob_of(to_vector(student), {}), 1).update
    assert update is not None
    load_vector(student, update)
    assert student.get_parameter("tokens.lift.weight").abs().max() > 0
    wrong = work.model_copy(update={"normalisation": SCALES.model_copy(update={"tables": (entity_table("nobody", np.ones((2, 3))),)})})
    with pytest.raises(ConfigError, match="coordinator and institution differ in task"):
        made.perform(wrong, blob_of(to_vector(student), {}), 1)
