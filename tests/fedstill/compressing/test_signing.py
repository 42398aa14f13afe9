from __future__ import annotations

import pytest

from fedstill.compressing.plan import CompressPlan
from fedstill.compressing.signing import provenance, signer
from fedstill.plan import builtin_federation
from shared.compress.manifest import CandidateResult, GateResult, Manifest, Provenance
from shared.identity import make_identity, public_bytes
from shared.models import count_parameters
from tests.support.networks import TABLE, network

CAME = Provenance(federation="f", run="one", rounds=3, void_rounds=0, roster_digest="a" * 64, student_parameters=9, epsilon=2.0, delta=1e-5)


@pytest.fixture
def plan(tmp_path):
    return CompressPlan(folder=tmp_path / "out", student=tmp_path / "student.safetensors", federation=builtin_federation("heart"))


def beside(plan, content: str) -> None:
    folder = plan.student.parent / "artifact"
    folder.mkdir()
    (folder / "manifest.json").write_text(content)


def test_a_federations_student_keeps_where_it_came_from(plan):
    won = CandidateResult(name="u8u8", right=1, agree=1, size=1)
    gate = GateResult(records=1, float_right=1, max_drop=0.0, candidates=(won,), winner="u8u8")
    beside(plan, Manifest(task=TABLE, device="portable", grid="u8u8", gate=gate, provenance=CAME).model_dump_json())
    found = provenance(plan, network(), b"graph", ["pruned"])
    assert (found.run, found.epsilon, found.roster_digest) == ("one", 2.0, "a" * 64)
    assert found.student_parameters == count_parameters(network())
    assert found.changes == ("pruned",)


@pytest.mark.parametrize("damaged", [False, True])
def test_without_a_federation_none_is_claimed(plan, damaged):
    if damaged:
        beside(plan, "{}")
    found = provenance(plan, network(), b"graph", [])
    assert found.roster_digest is None
    assert found.rounds == 0


def test_the_given_key_signs_or_one_that_is_made_once(plan, tmp_path):
    given = make_identity(tmp_path / "key.pem")
    assert public_bytes(signer(plan.model_copy(update={"identity": tmp_path / "key.pem"}))) == public_bytes(given)
    plan.folder.mkdir()
    made = signer(plan)
    assert public_bytes(signer(plan)) == public_bytes(made)  # a command that was stopped goes on with its key
    assert (plan.folder / "signing.key").stat().st_mode & 0o077 == 0
