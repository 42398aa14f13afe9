"""Whoever has no invitation that holds, or has one for something else, gets in nowhere: through the real door, over the wire."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from client.folder import InstitutionFolder
from client.joining import fetch_ca, join
from client.link import open_join_link, open_link
from server.invitations import MOST_ATTEMPTS
from server.membership import NOT_INVITED
from shared.certificates import fingerprint_of, load_authority, load_certificate, make_authority
from shared.client_certificates import client_key, issue, make_request
from shared.enrolment import Enrolment, make_enrolment, read_enrolment
from shared.errors import DeploymentError, IdentityError, PolicyRefusal
from shared.identity import load_identity, load_roster, make_identity, make_node_key
from shared.invitation import Token, make_token, prove
from shared.rpc import artifacts_pb2, enrolment_pb2, runs_pb2
from shared.rpc.services import ARTIFACTS, ENROLMENT, RUNS, Stub
from tests.support.opened import HOUR_S, Opened, institution, make_coordinator, opened

EVERY_CALL: list[tuple[Any, str, Any]] = [
    (ENROLMENT, "Renew", enrolment_pb2.RenewRequest()),
    (ENROLMENT, "Roster", enrolment_pb2.RosterRequest()),
    (RUNS, "List", runs_pb2.ListRunsRequest()),
    (RUNS, "Plan", runs_pb2.RunPlanRequest(run="trial-1")),
    (RUNS, "Events", runs_pb2.RunEventsRequest(run="trial-1")),
    (ARTIFACTS, "List", artifacts_pb2.ListArtifactRequest(run="trial-1")),
    (ARTIFACTS, "Download", artifacts_pb2.DownloadRequest(run="trial-1", name="manifest.json")),
]


@pytest.fixture(scope="module")
def coordinator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    with opened(make_coordinator(tmp_path_factory.mktemp("strangers") / "coordinator")) as made:
        yield made


def keys_of(name: str, folder: Path) -> Enrolment:
    return make_enrolment(name, make_identity(folder / "identity.key"), make_node_key(folder / "node"))


def request_of(token: Token, enrolment: Enrolment, /, *, request: bytes | None = None, **changed: bytes) -> enrolment_pb2.JoinRequest:
    content = enrolment.canonical()
    asked = request if request is not None else make_request(ec.generate_private_key(ec.SECP256R1()), enrolment.name)
    fields = {"invitation": token.public, "enrolment": content, "certificate_request": asked, "proof": prove(token, content, asked)}
    return enrolment_pb2.JoinRequest(**{**fields, **changed})


def hand_in(coordinator: Opened, request: enrolment_pb2.JoinRequest) -> enrolment_pb2.JoinReply:
    ca = (coordinator.folder / "keys" / "ca.crt").read_bytes()
    with open_join_link(coordinator.connection, ca) as link:
        reply: enrolment_pb2.JoinReply = link.call(ENROLMENT, "Join", request)
        return reply


def answered(answer: Any) -> None:
    """Takes a stream's answers, too."""
    if hasattr(answer, "__next__"):
        list(answer)


def members(coordinator: Opened) -> set[str]:
    return set(load_roster(coordinator.folder / "roster.json").members)


def test_a_wrong_secret_is_refused_and_a_few_of_them_end_the_invitation(coordinator: Opened, tmp_path: Path) -> None:
    token = coordinator.invite("wrong-secret")
    forged = make_token(coordinator.connection, token.ca_fingerprint)
    enrolment = keys_of("wrong-secret", tmp_path)
    for _ in range(MOST_ATTEMPTS):
        with pytest.raises(IdentityError, match=NOT_INVITED):
            hand_in(coordinator, request_of(forged, enrolment, invitation=token.public))
    with pytest.raises(IdentityError, match=NOT_INVITED):
        hand_in(coordinator, request_of(token, enrolment))
    assert "wrong-secret" not in members(coordinator)


def test_a_token_holds_once(coordinator: Opened, tmp_path: Path) -> None:
    token = coordinator.invite("once")
    hand_in(coordinator, request_of(token, keys_of("once", tmp_path / "a")))
    before = load_roster(coordinator.folder / "roster.json").digest
    with pytest.raises(IdentityError, match=NOT_INVITED):
        hand_in(coordinator, request_of(token, keys_of("once", tmp_path / "b")))
    assert load_roster(coordinator.folder / "roster.json").digest == before


def test_a_recorded_join_is_not_answered_again(coordinator: Opened, tmp_path: Path) -> None:
    recorded = request_of(coordinator.invite("recorded"), keys_of("recorded", tmp_path))
    hand_in(coordinator, recorded)
    with pytest.raises(IdentityError, match=NOT_INVITED):
        hand_in(coordinator, recorded)


def test_an_invitation_that_has_ended_is_refused(coordinator: Opened, tmp_path: Path) -> None:
    token = coordinator.invite("late", HOUR_S, now=0.0)
    with pytest.raises(IdentityError, match=NOT_INVITED):
        hand_in(coordinator, request_of(token, keys_of("late", tmp_path)))


def test_an_invitation_for_another_name_is_refused_and_still_holds(coordinator: Opened, tmp_path: Path) -> None:
    token = coordinator.invite("alice")
    with pytest.raises(DeploymentError, match="for 'alice', not for 'bob'"):
        hand_in(coordinator, request_of(token, keys_of("bob", tmp_path / "bob")))
    assert "bob" not in members(coordinator)
    hand_in(coordinator, request_of(token, keys_of("alice", tmp_path / "alice")))


def test_a_certificate_request_for_another_name_is_refused(coordinator: Opened, tmp_path: Path) -> None:
    token = coordinator.invite("request")
    other = make_request(ec.generate_private_key(ec.SECP256R1()), "alice")
    with pytest.raises(DeploymentError, match="not one of 'request'"):
        hand_in(coordinator, request_of(token, keys_of("request", tmp_path), request=other))
    assert "request" not in members(coordinator)


def test_what_was_exchanged_on_the_way_is_refused(coordinator: Opened, tmp_path: Path) -> None:
    """Somebody in the middle who breaks TLS still cannot put keys of their own in the place of the institution's."""
    token, theirs = coordinator.invite("exchanged"), keys_of("exchanged", tmp_path / "mallory")
    seen = request_of(token, keys_of("exchanged", tmp_path / "own"))
    for change in (
        {"enrolment": theirs.canonical()},
        {"certificate_request": make_request(ec.generate_private_key(ec.SECP256R1()), "exchanged")},
    ):
        taken = enrolment_pb2.JoinRequest()
        taken.CopyFrom(seen)
        for name, value in change.items():
            setattr(taken, name, value)
        with pytest.raises(IdentityError, match=NOT_INVITED):
            hand_in(coordinator, taken)


def test_an_enrolment_that_its_own_key_has_not_signed_is_refused(coordinator: Opened, tmp_path: Path) -> None:
    token, own = coordinator.invite("unsigned"), keys_of("unsigned", tmp_path)
    with pytest.raises(DeploymentError, match="not a genuine enrolment"):
        hand_in(coordinator, request_of(token, own.model_copy(update={"proof": ""})))


def test_the_keys_of_a_member_under_another_name_are_refused(coordinator: Opened, tmp_path: Path) -> None:
    coordinator.let_in("owner", tmp_path / "owner")
    keys = tmp_path / "owner" / "keys"
    stolen = make_enrolment("thief", load_identity(keys / "identity.key"), (keys / "node.pub").read_bytes())
    with pytest.raises(DeploymentError, match="belong to another institution"):
        hand_in(coordinator, request_of(coordinator.invite("thief"), stolen))


def test_a_second_institution_of_one_name_is_refused(coordinator: Opened, tmp_path: Path) -> None:
    coordinator.let_in("twin", tmp_path / "first")
    with pytest.raises(DeploymentError, match="enrolled with other keys"):
        hand_in(coordinator, request_of(coordinator.invite("twin"), keys_of("twin", tmp_path / "second")))


def test_a_coordinator_with_another_ca_is_found_out_before_anything_is_made(coordinator: Opened, tmp_path: Path) -> None:
    """The token of one federation, with the address of somebody in the middle who runs a whole coordinator."""
    with opened(make_coordinator(tmp_path / "mallory")) as mallory:
        token = replace(coordinator.invite("careful"), connection=mallory.connection)
        with pytest.raises(IdentityError, match="another CA than the invitation names"):
            join(tmp_path / "careful", token, institution("careful", tmp_path))
    assert not (tmp_path / "careful").exists()


def test_who_shows_the_right_ca_and_has_not_its_key_gets_no_greeting(coordinator: Opened, tmp_path: Path) -> None:
    """In the middle, with the public CA certificate to show and a server certificate of its own."""
    folder = make_coordinator(tmp_path / "mallory")
    shown = (folder / "keys" / "ca.crt").read_bytes()
    with opened(folder) as mallory:
        token = replace(coordinator.invite("careful-too"), connection=mallory.connection)
        assert fetch_ca(replace(token, ca_fingerprint=fingerprint(shown))).public_bytes(Encoding.PEM) == shown
        with (
            open_join_link(mallory.connection, (coordinator.folder / "keys" / "ca.crt").read_bytes()) as link,
            pytest.raises(DeploymentError, match="cannot be reached"),
        ):
            link.call(ENROLMENT, "Join", request_of(token, keys_of("careful-too", tmp_path)), timeout=3.0)
    assert any(found.name == "careful-too" for found in coordinator.membership.invited()), "the secret is not spent"


def fingerprint(pem: bytes) -> bytes:
    return fingerprint_of(x509.load_pem_x509_certificate(pem))


@pytest.mark.parametrize(("service", "method", "request_"), EVERY_CALL, ids=lambda value: getattr(value, "name", str(value)[:20]))
def test_without_a_certificate_no_call_but_join_is_answered(coordinator: Opened, service: Any, method: str, request_: Any) -> None:
    ca = (coordinator.folder / "keys" / "ca.crt").read_bytes()
    with open_join_link(coordinator.connection, ca) as link, pytest.raises(grpc.RpcError) as caught:
        answered(Stub(link.channel, service).call(method)(request_, timeout=10))
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_every_call_is_tried_here() -> None:
    known = {(service.name, method.name) for service in (ENROLMENT, RUNS, ARTIFACTS) for method in service.methods}
    assert {(service.name, method) for service, method, _ in EVERY_CALL} | {("Enrolment", "Join")} == known


@pytest.mark.parametrize(("service", "method", "request_"), EVERY_CALL, ids=lambda value: getattr(value, "name", str(value)[:20]))
def test_a_revoked_certificate_is_refused_everywhere_at_once(
    coordinator: Opened, tmp_path: Path, service: Any, method: str, request_: Any
) -> None:
    name = f"gone-{service.name.lower()}-{method.lower()}"
    coordinator.let_in(name, tmp_path / name)
    with open_link(tmp_path / name) as link:
        link.call(ENROLMENT, "Roster", enrolment_pb2.RosterRequest())
        coordinator.membership.revoke(name)
        with pytest.raises(grpc.RpcError, match="not in force") as caught:
            answered(Stub(link.channel, service).call(method)(request_, timeout=10))
    assert caught.value.code() == grpc.StatusCode.PERMISSION_DENIED


def test_a_certificate_of_our_ca_that_was_never_issued_here_is_refused(coordinator: Opened, tmp_path: Path) -> None:
    """Somebody who has had the CA's key once, and not the coordinator's disk."""
    coordinator.let_in("honest", tmp_path / "honest")
    home = InstitutionFolder(tmp_path / "honest")
    forged = issue(load_authority(coordinator.folder / "keys"), make_request(client_key(home.client_key), "honest"), "honest")
    home.certificate.write_bytes(forged.public_bytes(Encoding.PEM))
    with open_link(home.folder) as link, pytest.raises(IdentityError, match="not in force"):
        link.call(ENROLMENT, "Roster", enrolment_pb2.RosterRequest())


def test_a_certificate_of_another_ca_gets_no_answer(coordinator: Opened, tmp_path: Path) -> None:
    coordinator.let_in("proper", tmp_path / "proper")
    home = InstitutionFolder(tmp_path / "proper")
    other = issue(make_authority(tmp_path / "mallory", name="mallory"), make_request(client_key(home.client_key), "proper"), "proper")
    home.certificate.write_bytes(other.public_bytes(Encoding.PEM))
    with open_link(home.folder) as link, pytest.raises(DeploymentError, match="cannot be reached"):
        link.call(ENROLMENT, "Roster", enrolment_pb2.RosterRequest(), timeout=3.0)


def test_the_certificate_of_one_does_not_renew_another_s(coordinator: Opened, tmp_path: Path) -> None:
    for name in ("one", "another"):
        coordinator.let_in(name, tmp_path / name)
    request = enrolment_pb2.RenewRequest(certificate_request=make_request(ec.generate_private_key(ec.SECP256R1()), "another"))
    with open_link(tmp_path / "one") as link, pytest.raises(DeploymentError, match="not one of 'one'"):
        link.call(ENROLMENT, "Renew", request)


def test_who_was_revoked_comes_back_under_a_new_invitation_only(coordinator: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "returning"
    coordinator.let_in("returning", folder)
    node = (folder / "keys" / "node.pub").read_bytes()
    open_before = coordinator.invite("returning")
    coordinator.membership.revoke("returning")
    assert "returning" not in members(coordinator)
    with pytest.raises(IdentityError, match=NOT_INVITED):
        join(folder, open_before, institution("returning", folder))
    coordinator.let_in("returning", folder)
    assert (folder / "keys" / "node.pub").read_bytes() != node, "Flower takes a revoked node key never again"
    with open_link(folder) as link:
        link.call(ENROLMENT, "Roster", enrolment_pb2.RosterRequest())


def test_a_revoked_node_key_is_refused_by_hand_too(coordinator: Opened, tmp_path: Path) -> None:
    folder = tmp_path / "by-hand"
    coordinator.let_in("by-hand", folder)
    shutil.copy(folder / "enrolment.json", tmp_path / "kept.json")
    coordinator.membership.revoke("by-hand")
    with pytest.raises(IdentityError, match="was revoked"):
        coordinator.membership.enrol([read_enrolment(tmp_path / "kept.json")])


def test_a_large_message_is_not_read(coordinator: Opened, tmp_path: Path) -> None:
    token = coordinator.invite("large")
    with pytest.raises(PolicyRefusal, match="too much"):
        hand_in(coordinator, request_of(token, keys_of("large", tmp_path), enrolment=bytes(100_000)))
    hand_in(coordinator, request_of(token, keys_of("large", tmp_path / "again")))


@pytest.mark.parametrize("field", ["invitation", "enrolment", "certificate_request", "proof"])
@pytest.mark.parametrize("content", [b"", b"\x00" * 32, b"\xff" * 500])
def test_nonsense_is_refused_with_a_sentence(coordinator: Opened, tmp_path: Path, field: str, content: bytes) -> None:
    token = coordinator.invite("nonsense")
    with pytest.raises((IdentityError, DeploymentError)):
        hand_in(coordinator, request_of(token, keys_of("nonsense", tmp_path), **{field: content}))
    assert "nonsense" not in members(coordinator)


def test_nothing_of_the_token_is_written_down_or_left_behind(coordinator: Opened, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    token = coordinator.invite("secretive")
    join(tmp_path / "secretive", token, institution("secretive", tmp_path / "secretive"))
    forms = (token.seed.hex(), token.text(), repr(token.seed))
    assert not any(form in caplog.text for form in forms)
    for folder in (tmp_path / "secretive", coordinator.folder):
        for path in folder.rglob("*"):
            content = path.read_bytes() if path.is_file() else b""
            assert not any(form.encode() in content for form in forms)
            assert token.seed not in content
    assert load_certificate(tmp_path / "secretive" / "ca.crt") == load_certificate(coordinator.folder / "keys" / "ca.crt")
