"""Three hospitals with different parts of a graph, through the whole product: apps, masks, real students and a signed artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tomli_w
from safetensors.numpy import load

from benchmarks.knowledge_pathfinder import written
from benchmarks.knowledge_shared import embedded, federation, filled, public, ranked, records, triples
from fedstill.simulation import run_in_process
from fedstill.workspace import SALT, prepare
from server.coordinator import RunResult
from shared.config import InstitutionConfig, load_config
from shared.data.seeds import generator
from shared.knowledge.slots import own_slots
from shared.knowledge.triples import Graph, graph_of

pytestmark = pytest.mark.e2e

SEED, ROUNDS, SHARE, HOSPITALS = 3, 8, 0.25, 3
ROWS = triples(SEED)
TEST = generator(SEED, "held out").permutation(len(ROWS))[:300]
ONLY_HERE = "a private thing"


def graphs() -> list[Graph]:
    """A hospital has a quarter of the triples, none of the held out; the first knows something that no other has heard of."""
    dealt = generator(SEED, "dealt").random((HOSPITALS, len(ROWS)))
    dealt[:, TEST] = 1.0
    own = [[*public(), *(ROWS[place] for place in np.flatnonzero(part < SHARE).tolist())] for part in dealt]
    own[0].append((ONLY_HERE, "has finding", "finding 1", 1.0))
    return [graph_of(rows) for rows in own]


def play(folder: Path, drops: dict[int, frozenset[str]] | None = None) -> tuple[RunResult, dict[str, Path]]:
    config = federation(SEED, ROUNDS, written(graph_of(public()), folder / "public.tsv"), 8)
    config = config.model_copy(update={"compression": config.compression.model_copy(update={"max_drop": 0.2})})
    workspace = prepare(config, folder, {f"hospital-{place}": records(SEED, place) for place in range(HOSPITALS)})
    for home, graph in zip(workspace.institutions.values(), graphs(), strict=True):
        site = load_config(InstitutionConfig, home / "institution.toml")
        knowledge = site.knowledge.model_copy(update={"path": written(graph, home / "private.tsv")})
        table = site.model_copy(update={"knowledge": knowledge}).model_dump(mode="json", exclude_none=True)
        (home / "institution.toml").write_text(tomli_w.dumps(table))
    return run_in_process(workspace.coordinator, workspace.institutions, "trial", drops=drops), dict(workspace.institutions)


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunResult, dict[str, Path]]:
    return play(tmp_path_factory.mktemp("played"))


def test_rows_become_better_at_triples_that_nobody_has_than_a_hospital_s_own(played: tuple[RunResult, dict[str, Path]]) -> None:
    truth, test = {row[:3] for row in ROWS}, [ROWS[place] for place in TEST.tolist()]
    for place, (graph, home) in enumerate(zip(graphs(), played[1].values(), strict=True)):
        kept = filled(graph, home / "state" / f"own-entities-v{ROUNDS:05d}.safetensors")
        alone = embedded(graph, SEED + place, ROUNDS * 5)
        assert ranked(graph, graph, kept, test, truth) > 1.5 * ranked(graph, graph, alone, test, truth)


def test_the_artifact_is_of_the_student_alone_and_what_one_hospital_knows_never_got_a_row(
    played: tuple[RunResult, dict[str, Path]],
) -> None:
    result, homes = played
    (counting,) = (record for record in result.rounds if record.phase == "entities")
    counts = np.array(counting.counters["entities"])
    assert counting.metrics["shared_entities"] == (counts >= HOSPITALS).sum() > 300
    slot = own_slots([ONLY_HERE], (homes["hospital-0"] / SALT).read_bytes(), len(counts))[0]
    assert counts[slot] == 1, "nothing else of these graphs falls there"
    student = load((result.folder / "student.safetensors").read_bytes())
    assert sum(part.size for part in student.values()) < 6_000
    assert (result.artifact / "manifest.json").exists()


def test_the_same_run_gives_the_same_bits_and_one_with_a_lost_hospital_goes_on(
    played: tuple[RunResult, dict[str, Path]], tmp_path: Path
) -> None:
    assert digest_of_file(play(tmp_path / "again")[0]) == digest_of_file(played[0])
    lossy = play(tmp_path / "lossy", {2: frozenset({"hospital-1"})})[0]
    assert [record.status for record in lossy.rounds].count("void") == 1, "two of three are below the smallest cohort"


def digest_of_file(result: RunResult) -> bytes:
    return result.student.read_bytes()
