from __future__ import annotations

from pathlib import Path

from server.console.artifact import LARGEST_TEXT, artifact_facts
from shared.compress.manifest import CandidateResult, GateResult, Manifest, Provenance
from shared.task import TabularTask


def manifest() -> Manifest:
    task = TabularTask.model_validate(
        {"family": "tabular", "label": "ill", "labels": ["no", "yes"], "columns": [{"name": "age", "kind": "numeric"}]}
    )
    winner = CandidateResult(name="u8u8", right=90, agree=99, size=14_905, seconds=0.0005)
    gate = GateResult(records=100, float_right=91, max_drop=0.02, candidates=(winner,), winner="u8u8", float_size=30_000)
    origin = Provenance(
        federation="small",
        run="small-1",
        rounds=2,
        void_rounds=0,
        cohort_sizes=(4, 3),
        epsilon=7.5,
        delta=1e-5,
        train_records=140,
        student_parameters=37,
    )
    return Manifest(version=3, task=task, device="portable", grid="u8u8", gate=gate, provenance=origin, signer="ab" * 32)


def test_the_manifest_s_facts_and_the_card_s_text(tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_bytes(manifest().canonical())
    (tmp_path / "card.md").write_bytes("# small\n\x1b[2Jtext \u202e\n".encode() + b"\xff")
    (tmp_path / "link").symlink_to("/etc/passwd")
    found = artifact_facts(tmp_path)
    assert found is not None
    assert [file.name for file in found.files] == ["card.md", "manifest.json"]
    facts = dict(found.facts)
    assert facts["accuracy"] == "0.9000, of the float student 0.9100"
    assert facts["bytes"] == "14,905, of the float student 30,000"
    assert facts["privacy"] == "ε = 7.5 at δ = 1e-05"
    assert facts["training rounds"] == "2, 0 void, 3 to 4 institutions in a round"
    assert facts["signed by"].startswith("abab abab")
    assert found.card.startswith("# small\n")
    assert not {"\x1b", "\u202e"} & set(found.card)


def test_what_is_missing_large_or_no_manifest(tmp_path: Path) -> None:
    assert artifact_facts(tmp_path / "none") is None
    (tmp_path / "manifest.json").write_text("{}")
    (tmp_path / "card.md").write_bytes(b"x" * (LARGEST_TEXT + 1))
    found = artifact_facts(tmp_path)
    assert found is not None
    assert (found.facts, found.gate, found.card) == ((), None, "")
