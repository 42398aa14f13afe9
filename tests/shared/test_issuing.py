"""A name in a certificate is one name or none."""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from shared.issuing import common_name, name_of


def test_one_common_name_is_a_name() -> None:
    assert name_of(common_name("va")) == "va"


def test_no_name_two_names_and_other_names_are_none() -> None:
    va = x509.NameAttribute(NameOID.COMMON_NAME, "va")
    other = x509.NameAttribute(NameOID.ORGANIZATION_NAME, "va")
    assert [name_of(x509.Name(parts)) for parts in ([], [va, va], [va, other], [other])] == [None] * 4
