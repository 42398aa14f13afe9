"""Joining by an invitation: keys made here, the secret proven, a certificate and the signed roster back, all pinned."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import httpx
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from client.folder import InstitutionFolder
from client.link import open_join_link, proxy_for
from client.provision import init_institution, pin, write_enrolment
from shared.certificates import fingerprint_of, load_certificate
from shared.client_certificates import check_issued, client_key, make_request
from shared.config import InstitutionConfig, load_config
from shared.enrolment import Connection, Enrolment, make_enrolment
from shared.errors import DeploymentError, IdentityError
from shared.files import write_atomic
from shared.identity import load_identity, make_node_key
from shared.invitation import Token, prove
from shared.rpc import enrolment_pb2 as pb
from shared.rpc.services import ENROLMENT
from shared.secagg.roster import Roster
from shared.signed import check_roster

CA_S = 20.0
"""Longest wait for the CA's certificate."""
LARGEST_CA = 64 * 1024
"""Bytes of the largest CA certificate that is looked at."""


@dataclass(frozen=True)
class Joined:
    """What joining gave: the roster as it is now, and how long the certificate holds."""

    name: str
    roster: Roster
    certificate: x509.Certificate


def join(folder: Path, token: Token, config: InstitutionConfig, *, passphrase: bytes | None = None) -> Joined:
    """Makes an institution's folder, joins the federation of ``token`` and pins its CA, address and roster.

    Whatever fails, the identity stays where it is, and the same call with a new token goes on with it: with the same identity
    an institution may join again, and brings a new node key.

    Raises :class:`IdentityError` if the coordinator is not the one of the token, or refuses.
    """
    ca = fetch_ca(token)
    enrolment = _own_enrolment(folder, config, passphrase)
    home = InstitutionFolder(folder)
    key = client_key(home.client_key)
    handed_in, request = enrolment.canonical(), make_request(key, config.name)
    with open_join_link(token.connection, ca.public_bytes(Encoding.PEM)) as link:
        reply = link.call(
            ENROLMENT,
            "Join",
            pb.JoinRequest(
                invitation=token.public, enrolment=handed_in, certificate_request=request, proof=prove(token, handed_in, request)
            ),
        )
    certificate = check_issued(reply.certificate, key, config.name, ca)
    roster = check_roster(reply.roster.roster, reply.roster.signature, None)
    _pin(folder, ca, token.connection, roster, passphrase)
    write_atomic(home.certificate, certificate.public_bytes(Encoding.PEM))
    return Joined(config.name, roster, certificate)


def fetch_ca(token: Token) -> x509.Certificate:
    """The CA's certificate from the token's address, taken only if it has the fingerprint that the token names.

    Nothing is believed of the connection itself: whoever stands in between can give another certificate, and is found out.
    """
    try:
        # What comes is public, and known by its digest; there is nothing yet to check the server by.
        with httpx.Client(verify=False, timeout=CA_S, trust_env=False, proxy=proxy_for(token.connection)) as client:
            answer = client.get(f"https://{token.connection.address}/ca.crt")
    except httpx.HTTPError as error:
        raise DeploymentError(
            f"{token.connection.address} does not answer ({type(error).__name__}): check the network and its proxy"
        ) from error
    try:
        if answer.status_code != 200 or len(answer.content) > LARGEST_CA:
            raise ValueError
        certificate = x509.load_pem_x509_certificate(answer.content)
    except ValueError as error:
        raise IdentityError(
            f"{token.connection.address} is no coordinator of fedstill's: ask its operator for the right address"
        ) from error
    if fingerprint_of(certificate) != token.ca_fingerprint:
        raise IdentityError(
            f"{token.connection.address} shows another CA than the invitation names: somebody may stand between, or the token is old; "
            "tell the coordinator's operator, and do not go on"
        )
    return certificate


def _own_enrolment(folder: Path, config: InstitutionConfig, passphrase: bytes | None) -> Enrolment:
    if not (folder / "keys" / "identity.key").exists():
        return init_institution(folder, config, passphrase=passphrase)
    written = load_config(InstitutionConfig, folder / "institution.toml")
    if written.name != config.name:
        raise IdentityError(f"{folder} is the folder of '{written.name}', not of '{config.name}': give each institution its own")
    identity = load_identity(folder / "keys" / "identity.key", passphrase=passphrase)
    # A node key that was revoked is never taken again, and whether it was, this side cannot know.
    (folder / "keys" / "node").unlink(missing_ok=True)
    node_key = make_node_key(folder / "keys" / "node")
    return write_enrolment(folder, make_enrolment(config.name, identity, node_key))


def _pin(folder: Path, ca: x509.Certificate, connection: Connection, roster: Roster, passphrase: bytes | None) -> None:
    home = InstitutionFolder(folder)
    if home.ca.exists() and load_certificate(home.ca) != ca:
        raise IdentityError(f"another CA is pinned in {home.ca}: ask the coordinator's operator why it changed, then remove that file")
    write_atomic(home.ca, ca.public_bytes(Encoding.PEM))
    # The operator's decision to use the token is the decision for the federation of its CA, with the roster that it has now.
    pin(folder, roster, connection=connection, replace=True, passphrase=passphrase)
