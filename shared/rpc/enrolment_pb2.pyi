from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class JoinRequest(_message.Message):
    __slots__ = ("invitation", "enrolment", "certificate_request", "proof")
    INVITATION_FIELD_NUMBER: _ClassVar[int]
    ENROLMENT_FIELD_NUMBER: _ClassVar[int]
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    PROOF_FIELD_NUMBER: _ClassVar[int]
    invitation: bytes
    enrolment: bytes
    certificate_request: bytes
    proof: bytes
    def __init__(self, invitation: _Optional[bytes] = ..., enrolment: _Optional[bytes] = ..., certificate_request: _Optional[bytes] = ..., proof: _Optional[bytes] = ...) -> None: ...

class JoinReply(_message.Message):
    __slots__ = ("certificate", "roster")
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    roster: SignedRoster
    def __init__(self, certificate: _Optional[bytes] = ..., roster: _Optional[_Union[SignedRoster, _Mapping]] = ...) -> None: ...

class RenewRequest(_message.Message):
    __slots__ = ("certificate_request",)
    CERTIFICATE_REQUEST_FIELD_NUMBER: _ClassVar[int]
    certificate_request: bytes
    def __init__(self, certificate_request: _Optional[bytes] = ...) -> None: ...

class RenewReply(_message.Message):
    __slots__ = ("certificate",)
    CERTIFICATE_FIELD_NUMBER: _ClassVar[int]
    certificate: bytes
    def __init__(self, certificate: _Optional[bytes] = ...) -> None: ...

class RosterRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class SignedRoster(_message.Message):
    __slots__ = ("roster", "signature")
    ROSTER_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    roster: bytes
    signature: bytes
    def __init__(self, roster: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...
