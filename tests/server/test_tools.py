"""The toolbox of real runs: the same student from the same seed, and a signed artifact that verifies."""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tomli_w
from numpy.typing import NDArray

from server.phases import PHASES, Kit, Sums, first_state
from server.records import RoundRecord
from server.site import CoordinatorSite
from server.state import Facts, RunState
from server.toolbox import FLOAT, Publication, Student
from server.tools import InstalledToolbox
from shared.compress.calibrate import histogram_counts, range_counts
from shared.compress.gate import gate_counts
from shared.compress.prune.importance import importance_counts
from shared.compress.verify import verify
from shared.data import Records
from shared.data.proxy import generated_proxy
from shared.data.statistics import exponent_counts, moment_counts
from shared.errors import ArtifactError, ConfigError
from shared.models import build, load_model, load_vector, predict, save_model, to_vector
from shared.settings import NetworkSettings
from shared.work import CalibrateHistogramWork, GateWork, Normalisation, StatisticsMomentsWork, StatisticsRangeWork, Work
from tests.shared.knowledge.test_student_table import config as gout
from tests.support.small import make_federation
from tests.support.texts import text_task, write_tokenizer

RANDOM = np.random.default_rng(11)
SCALES = Normalisation(means=(50.0, 2.0), deviations=(10.0, 0.5))
RECORDS = Records(RANDOM.normal([50.0, 2.0], [10.0, 0.5], (40, 2)).astype(np.float32), RANDOM.integers(0, 2, 40))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> CoordinatorSite:
    federation = make_federation(tmp_path_factory.mktemp("federation"), 3, rounds=1, teacher={"width": 16, "depth": 1})
    return CoordinatorSite(federation.coordinator)


def counts(work: Work, toolbox: InstalledToolbox, state: RunState, site: CoordinatorSite) -> dict[str, NDArray[np.int64]]:
    """What one institution with all records would count."""
    task, student = site.config.task, Student(state.vector, state.facts.normalisation)
    match work:
        case StatisticsRangeWork():
            return {"exponents": exponent_counts(task, RECORDS)}
        case StatisticsMomentsWork():
            return moment_counts(task, RECORDS, work.exponents)
        case CalibrateHistogramWork():
            graph = toolbox.candidates(student, dict.fromkeys(work.tensors, (-1.0, 1.0)))[FLOAT]
            return {"histograms": histogram_counts(graph, work.tensors, work.lows, work.highs, RECORDS.inputs)}
        case GateWork():
            files = toolbox.candidates(student, state.facts.ranges)
            return gate_counts(files.pop(FLOAT), files, RECORDS)
        case _:
            named = {"eval_records": np.array([40]), "eval_loss": np.array([0]), "eval_confusion": np.array([20, 0, 0, 20])}
            if work.kind == "calibrate-range":
                graph = toolbox.candidates(student, dict.fromkeys(work.tensors, (-1.0, 1.0)))[FLOAT]
                return named | {"ranges": range_counts(graph, work.tensors, RECORDS.inputs)}
            return named | {"train_records": np.array([40]), "train_loss": np.array([0]), "unclipped": np.array([1])}


@pytest.fixture(scope="module")
def final(site: CoordinatorSite) -> RunState:
    toolbox = InstalledToolbox(site)
    kit, state = Kit(site.config, toolbox), first_state(site.config)
    while state.facts.phase in PHASES:
        phase = PHASES[state.facts.phase]
        asked = phase.ask(state, kit)
        mean = np.full(asked.update_words, 0.01)
        state = phase.apply(state, Sums(("ash",), 40, counts(asked.work, toolbox, state, site), mean), kit)
    return state


def publication(site: CoordinatorSite, state: RunState, folder: Path) -> Publication:
    records = [
        RoundRecord(number=1, phase="statistics-moments", status="closed", weight=40, survivors=("ash", "elm")),
        RoundRecord(number=2, phase="train", status="void"),
        RoundRecord(number=3, phase="train", status="closed", survivors=("ash", "elm", "fir")),
    ]
    return Publication("trial", folder, state, records, site.roster.digest, 7)


def test_the_student_is_made_from_seed_and_normalisation(site: CoordinatorSite, final: RunState) -> None:
    toolbox = InstalledToolbox(site)
    first = toolbox.initial(final.facts.normalisation)
    np.testing.assert_array_equal(first, toolbox.initial(final.facts.normalisation))
    np.testing.assert_allclose(final.vector, first + np.float32(0.01), atol=1e-6)
    assert final.facts.normalisation.means == pytest.approx(RECORDS.inputs.mean(axis=0).tolist(), rel=1e-4)


def test_an_artifact_is_signed_by_the_coordinator_and_says_where_it_comes_from(
    site: CoordinatorSite, final: RunState, tmp_path: Path
) -> None:
    folder = InstalledToolbox(site).publish(publication(site, final, tmp_path))
    verify(folder, site.roster.coordinator)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["version"] == 7
    scales = final.facts.normalisation
    assert manifest["inputs_seen"] == {"means": list(scales.means), "deviations": list(scales.deviations)}
    provenance = manifest["provenance"]
    assert provenance["run"] == "trial"
    assert (provenance["rounds"], provenance["void_rounds"], provenance["cohort_sizes"]) == (1, 1, [3])
    assert provenance["train_records"] == 40
    assert provenance["student_parameters"] == final.vector.size
    assert provenance["roster_digest"] == site.roster.digest.hex()
    np.testing.assert_array_equal(to_vector(load_model(tmp_path / "student.safetensors")), final.vector)


def test_publishing_again_gives_the_same_bytes(site: CoordinatorSite, final: RunState, tmp_path: Path) -> None:
    toolbox = InstalledToolbox(site)
    first = toolbox.publish(publication(site, final, tmp_path / "first"))
    second = toolbox.publish(publication(site, final, tmp_path / "second"))
    for name in ("model.onnx", "manifest.json", "manifest.sig", "card.md"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_counts_are_never_taken_for_those_of_other_files_or_another_order(site: CoordinatorSite, final: RunState, tmp_path: Path) -> None:
    judged = final.facts.judged
    files = InstalledToolbox(site).candidates(Student(final.vector, final.facts.normalisation), final.facts.ranges)
    assert [name for name, _ in judged] == list(files)
    for other in ((*judged[1:], judged[0]), tuple((name, "0" * 64) for name, _ in judged)):
        changed = replace(final, facts=final.facts.model_copy(update={"judged": other}))
        with pytest.raises(ArtifactError, match="made otherwise now than when institutions judged them"):
            InstalledToolbox(site).publish(publication(site, changed, tmp_path))
    assert not (tmp_path / "artifact").exists()


def test_a_pruned_student_is_made_from_sums_and_published_in_its_shape(tmp_path: Path) -> None:
    shape = {"width": 16, "depth": 2, "heads": 4}
    compression = {"prune": 0.4, "healing_rounds": 0, "max_drop": 1.0}
    federation = make_federation(tmp_path / "federation", 3, rounds=1, student=shape, compression=compression)
    site = CoordinatorSite(federation.coordinator)
    toolbox = InstalledToolbox(site)
    vector = toolbox.initial(SCALES)
    whole = build(site.config.student, site.config.task, SCALES, seed=0)
    load_vector(whole, vector)
    assert toolbox.parts(Student(vector, SCALES)) == (2, 8, 64)
    settings, smaller = toolbox.pruned(Student(vector, SCALES), importance_counts(whole, RECORDS, RECORDS))
    assert smaller.size < vector.size * 0.8
    student = Student(smaller, SCALES, settings, unpruned=vector)
    assert toolbox.parts(student)[0] == 2
    tensors = toolbox.tensors(student)
    ranges = dict.fromkeys(tensors, (-8.0, 8.0))
    files = toolbox.candidates(student, ranges)
    graph = files.pop(FLOAT)
    # What institutions compare with is the student before it was pruned.
    assert graph == toolbox.candidates(Student(vector, SCALES), ranges)[FLOAT]
    assert len(graph) > len(toolbox.candidates(Student(smaller, SCALES, settings), ranges)[FLOAT])
    gate = {name: tuple(found.tolist()) for name, found in gate_counts(graph, files, RECORDS).items()}
    facts = Facts(phase="publish", version=1, normalisation=SCALES, student=settings, begun=1, ranges=ranges, gate=gate)
    folder = toolbox.publish(publication(site, RunState(facts, smaller, unpruned=vector), tmp_path))
    (change,) = json.loads((folder / "manifest.json").read_text())["provenance"]["changes"]
    assert change == f"pruned from {vector.size:,} to {smaller.size:,} numbers, healed for 0 rounds"
    found = load_model(tmp_path / "student.safetensors")
    assert found.settings == settings
    np.testing.assert_array_equal(to_vector(found), smaller)


def test_what_was_pruned_loses_too_much_where_losing_less_would_be_signed(site: CoordinatorSite, final: RunState, tmp_path: Path) -> None:
    toolbox = InstalledToolbox(site)
    student, records = Student(final.vector, final.facts.normalisation), final.facts.gate["gate_records"][0]
    told = {name: np.array(counted, np.int64) for name, counted in final.facts.gate.items()}
    assert not toolbox.loses_too_much(student, final.facts.ranges, told)
    wrong = told | {"gate_float_right": np.array([records], np.int64), "gate_right": np.zeros_like(told["gate_right"])}
    assert toolbox.loses_too_much(student, final.facts.ranges, wrong)
    # Nobody counted: cutting less would not help.
    assert not toolbox.loses_too_much(student, final.facts.ranges, {name: np.zeros_like(counted) for name, counted in told.items()})


def test_rounds_that_were_undone_are_not_the_artifacts(site: CoordinatorSite, final: RunState, tmp_path: Path) -> None:
    undone = replace(final, facts=final.facts.model_copy(update={"undone": 2, "version": 3, "begun": 3}))
    folder = InstalledToolbox(site).publish(publication(site, undone, tmp_path))
    provenance = json.loads((folder / "manifest.json").read_text())["provenance"]
    assert provenance["rounds"] == 1
    assert provenance["changes"] == [
        "pruning was undone, for the gate signed no file of the pruned student; 2 rounds of training went with it"
    ]


def test_a_gate_without_records_signs_nothing(site: CoordinatorSite, final: RunState, tmp_path: Path) -> None:
    from shared.errors import ArtifactError

    gate = {name: (0,) * len(counted) for name, counted in final.facts.gate.items()}
    blind = replace(final, facts=final.facts.model_copy(update={"gate": gate}))
    with pytest.raises(ArtifactError, match="no held-out records"):
        InstalledToolbox(site).publish(publication(site, blind, tmp_path))


def test_a_federation_may_start_from_a_public_model(site: CoordinatorSite, tmp_path: Path) -> None:
    federation = make_federation(tmp_path / "federation", 3, rounds=1)
    start = InstalledToolbox(CoordinatorSite(federation.coordinator)).initial(SCALES)
    config = CoordinatorSite(federation.coordinator).config
    save_model(tmp_path / "start.safetensors", build(config.student, config.task, SCALES, seed=99))
    given = make_federation(tmp_path / "given", 3, rounds=1, initial_path=str(tmp_path / "start.safetensors"))
    found = InstalledToolbox(CoordinatorSite(given.coordinator)).initial(SCALES)
    np.testing.assert_array_equal(found, to_vector(load_model(tmp_path / "start.safetensors")))
    assert (found != start).any()


def test_the_artifact_says_which_public_weights_it_started_from(final: RunState, tmp_path: Path) -> None:
    home = make_federation(tmp_path / "federation", 3, rounds=1, initial_path=str(tmp_path / "start.safetensors")).coordinator
    config = CoordinatorSite(home).config
    save_model(tmp_path / "start.safetensors", build(config.student, config.task, SCALES, seed=99))
    site = CoordinatorSite(home)
    result = InstalledToolbox(site).publish(publication(site, final, tmp_path / "run"))
    manifest = json.loads((result / "manifest.json").read_bytes())
    digest = hashlib.sha256((tmp_path / "start.safetensors").read_bytes()).hexdigest()
    assert manifest["provenance"]["initial_digest"] == digest
    assert digest in (result / "card.md").read_text()


def test_a_tokeniser_that_is_another_is_noticed_before_the_first_round(tmp_path: Path) -> None:
    found = {}
    for name, digest in (("good", text_task().tokenizer_sha256), ("bad", "0" * 64)):
        folder = make_federation(tmp_path / name, 3, rounds=1).coordinator
        table = tomllib.loads((folder / "federation.toml").read_text())
        table |= {"task": text_task().model_dump() | {"tokenizer_sha256": digest}, "tokenizer_path": str(write_tokenizer(tmp_path))}
        (folder / "federation.toml").write_text(tomli_w.dumps(table | {"task": table["task"] | {"labels": list(text_task().labels)}}))
        found[name] = InstalledToolbox(CoordinatorSite(folder))
    assert found["good"].initial(Normalisation()).size
    with pytest.raises(ConfigError, match="is not the tokeniser of the task"):
        found["bad"].initial(Normalisation())


# Answers


def answering(folder: Path, proxy: dict[str, object]) -> InstalledToolbox:
    made = make_federation(folder, 3, rounds=1, student={"width": 8, "depth": 1}, proxy={"epochs": 30, **proxy})
    return InstalledToolbox(CoordinatorSite(made.coordinator))


def test_generated_proxy_records_are_those_that_institutions_draw(site: CoordinatorSite, tmp_path: Path) -> None:
    toolbox = answering(tmp_path, {"source": "generated", "records": 30, "missing": 0.3})
    found = toolbox.proxy(SCALES)
    assert found.tobytes() == generated_proxy(site.config.task, SCALES, 30, 0.3, seed=3).tobytes()  # type: ignore[arg-type]
    other = Normalisation(means=(1.0, 2.0), deviations=(1.0, 1.0))
    assert toolbox.proxy(other).tobytes() != found.tobytes()


def test_public_proxy_records_are_read_and_the_student_learns_what_was_answered(tmp_path: Path) -> None:
    np.savez(tmp_path / "public.npz", inputs=RECORDS.inputs)
    toolbox = answering(tmp_path, {"source": "records", "path": str(tmp_path / "public.npz"), "epochs": 200})
    np.testing.assert_array_equal(toolbox.proxy(SCALES), RECORDS.inputs)
    older = RECORDS.inputs[:, 0] > 50
    table = np.where(older[:, None], [-4.0, 4.0], [4.0, -4.0]).astype(np.float32)
    vector = toolbox.distilled(SCALES, table)
    assert vector.tobytes() == toolbox.distilled(SCALES, table).tobytes()
    student = build(NetworkSettings(width=8, depth=1), CoordinatorSite(tmp_path / "coordinator").config.task, SCALES, seed=0)
    load_vector(student, vector)
    assert np.mean(predict(student, RECORDS.inputs) == older) > 0.9


def test_without_proxy_there_are_no_proxy_records(site: CoordinatorSite) -> None:
    with pytest.raises(ConfigError, match=r"add \[proxy\]"):
        InstalledToolbox(site).proxy(SCALES)


def test_the_artifact_says_which_records_were_answered(site: CoordinatorSite, final: RunState, tmp_path: Path) -> None:
    answered = replace(final, facts=final.facts.model_copy(update={"proxy_sha256": "ab" * 32}))
    result = InstalledToolbox(site).publish(publication(site, answered, tmp_path))
    assert json.loads((result / "manifest.json").read_bytes())["provenance"]["proxy_digest"] == "ab" * 32
    assert "exchanged answers, no weights, on proxy records" in (result / "card.md").read_text()


def test_the_table_of_the_public_graph_is_made_with_the_student(site: CoordinatorSite, tmp_path: Path) -> None:
    config = gout(tmp_path)
    toolbox = InstalledToolbox(site, config)
    records = Records(np.array([[0.0, 5.0], [1.0, 7.0], [2.0, 8.0]], np.float32), np.array([0, 1, 0]))
    exponents = toolbox.exponents(exponent_counts(config.task, records))
    scales = toolbox.normalisation(moment_counts(config.task, records, exponents), exponents)
    assert [(table.column, table.width) for table in scales.tables] == [("joint", 2)]
    assert scales.means == pytest.approx((20 / 3,), rel=1e-3)
    assert not scales.of_inputs.tables
    assert len(toolbox.initial(scales)) == len(toolbox.initial(scales.of_inputs)) + 2 * config.student.width
