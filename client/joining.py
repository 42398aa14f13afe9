"""Joining by an invitation: keys made here, the secret proven, a certificate and the signed roster back, all pinned."""

from __future__ import annotations

import asyncio
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

CA_S, STEP_S = 20.0, 10.0
"""Longest wait for the CA's certificate as a whole, and for each sign of life."""
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
    an institution may join again, and brings a new node key. The one that it has gives way only to one that was let in.

    Raises :class:`IdentityError` if the coordinator is not the one of the token or of what is pinned, or refuses.
    """
    home = InstitutionFolder(folder)
    ca = fetch_ca(token)
    _refuse_another(ca, home)
    enrolment = _own_enrolment(home, config, passphrase)
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
    # The operator's decision to use the token is the decision for the federation of its CA, with the roster that it has now.
    pin(folder, roster, connection=token.connection, replace=True, passphrase=passphrase)
    write_atomic(home.ca, ca.public_bytes(Encoding.PEM))
    write_atomic(home.certificate, certificate.public_bytes(Encoding.PEM))
    _keep(home, enrolment)
    return Joined(config.name, roster, certificate)


def fetch_ca(token: Token) -> x509.Certificate:
    """The CA's certificate from the token's address, taken only if it has the fingerprint that the token names.

    Nothing is believed of the connection itself: whoever stands in between can give another certificate, and is found out.
    """
    where = token.connection.address
    try:
        certificate = x509.load_pem_x509_certificate(asyncio.run(_shown(token.connection)))
    except httpx.HTTPError as error:
        raise DeploymentError(f"{where} does not answer ({type(error).__name__}): check the network and its proxy") from error
    except (ValueError, TimeoutError) as error:
        raise IdentityError(f"{where} is no coordinator of fedstill's: ask its operator for the right address") from error
    if fingerprint_of(certificate) != token.ca_fingerprint:
        raise IdentityError(
            f"{where} shows another CA than the invitation names: somebody may stand between, or the token is old; "
            "tell the coordinator's operator, and do not go on"
        )
    return certificate


async def _shown(connection: Connection) -> bytes:
    """What the address shows as its CA; raises :class:`ValueError` for what is too large, :class:`TimeoutError` for what drips."""
    # What comes is public, and known by its digest; there is nothing yet to check the server by.
    as_it_is = {"Accept-Encoding": "identity"}
    client = httpx.AsyncClient(verify=False, timeout=STEP_S, trust_env=False, proxy=proxy_for(connection), headers=as_it_is)
    content = b""
    async with asyncio.timeout(CA_S), client, client.stream("GET", f"https://{connection.address}/ca.crt") as answer:
        if answer.status_code != 200:
            raise ValueError
        async for piece in answer.aiter_raw():
            content += piece
            if len(content) > LARGEST_CA:
                raise ValueError
    return content


def _refuse_another(ca: x509.Certificate, home: InstitutionFolder) -> None:
    if home.ca.exists() and load_certificate(home.ca) != ca:
        raise IdentityError(f"another CA is pinned in {home.ca}: ask the coordinator's operator why it changed, then remove that file")


def _own_enrolment(home: InstitutionFolder, config: InstitutionConfig, passphrase: bytes | None) -> Enrolment:
    folder = home.folder
    home.next_node_key.unlink(missing_ok=True)  # of a join that failed
    if not (folder / "keys" / "identity.key").exists():
        return init_institution(folder, config, passphrase=passphrase)
    written = load_config(InstitutionConfig, folder / "institution.toml")
    if written.name != config.name:
        raise IdentityError(f"{folder} is the folder of '{written.name}', not of '{config.name}': give each institution its own")
    identity = load_identity(folder / "keys" / "identity.key", passphrase=passphrase)
    # A node key that was revoked is never taken again, and whether it was, this side cannot know.
    return make_enrolment(config.name, identity, make_node_key(home.next_node_key))


def _keep(home: InstitutionFolder, enrolment: Enrolment) -> None:
    """Puts a node key that was made aside, and is let in now, in the place of the one before."""
    if home.next_node_key.exists():
        _public(home.next_node_key).replace(_public(home.node_key))
        home.next_node_key.replace(home.node_key)
    write_enrolment(home.folder, enrolment)


def _public(key: Path) -> Path:
    return key.with_name(f"{key.name}.pub")
