from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SealedRequest(_message.Message):
    __slots__ = ("body", "signature")
    BODY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    body: bytes
    signature: bytes
    def __init__(self, body: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class Layout(_message.Message):
    __slots__ = ("update_words", "counters", "width")
    UPDATE_WORDS_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    update_words: int
    counters: int
    width: int
    def __init__(self, update_words: _Optional[int] = ..., counters: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class Fragment(_message.Message):
    __slots__ = ("institution", "edges")
    INSTITUTION_FIELD_NUMBER: _ClassVar[int]
    EDGES_FIELD_NUMBER: _ClassVar[int]
    institution: str
    edges: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, institution: _Optional[str] = ..., edges: _Optional[_Iterable[int]] = ...) -> None: ...

class Plan(_message.Message):
    __slots__ = ("run", "epoch", "round", "roster_digest", "cohort", "threshold", "collusion", "layout", "clip_norm", "weight_cap", "body", "blob_digest", "keys_digest", "degree", "share_threshold", "smallest_cohort", "rotation", "noise", "count_noise", "fragments")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    ROSTER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    COHORT_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    COLLUSION_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    CLIP_NORM_FIELD_NUMBER: _ClassVar[int]
    WEIGHT_CAP_FIELD_NUMBER: _ClassVar[int]
    BODY_FIELD_NUMBER: _ClassVar[int]
    BLOB_DIGEST_FIELD_NUMBER: _ClassVar[int]
    KEYS_DIGEST_FIELD_NUMBER: _ClassVar[int]
    DEGREE_FIELD_NUMBER: _ClassVar[int]
    SHARE_THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    SMALLEST_COHORT_FIELD_NUMBER: _ClassVar[int]
    ROTATION_FIELD_NUMBER: _ClassVar[int]
    NOISE_FIELD_NUMBER: _ClassVar[int]
    COUNT_NOISE_FIELD_NUMBER: _ClassVar[int]
    FRAGMENTS_FIELD_NUMBER: _ClassVar[int]
    run: str
    epoch: int
    round: int
    roster_digest: bytes
    cohort: _containers.RepeatedScalarFieldContainer[str]
    threshold: int
    collusion: int
    layout: Layout
    clip_norm: float
    weight_cap: int
    body: bytes
    blob_digest: bytes
    keys_digest: bytes
    degree: int
    share_threshold: int
    smallest_cohort: int
    rotation: bool
    noise: float
    count_noise: float
    fragments: _containers.RepeatedCompositeFieldContainer[Fragment]
    def __init__(self, run: _Optional[str] = ..., epoch: _Optional[int] = ..., round: _Optional[int] = ..., roster_digest: _Optional[bytes] = ..., cohort: _Optional[_Iterable[str]] = ..., threshold: _Optional[int] = ..., collusion: _Optional[int] = ..., layout: _Optional[_Union[Layout, _Mapping]] = ..., clip_norm: _Optional[float] = ..., weight_cap: _Optional[int] = ..., body: _Optional[bytes] = ..., blob_digest: _Optional[bytes] = ..., keys_digest: _Optional[bytes] = ..., degree: _Optional[int] = ..., share_threshold: _Optional[int] = ..., smallest_cohort: _Optional[int] = ..., rotation: _Optional[bool] = ..., noise: _Optional[float] = ..., count_noise: _Optional[float] = ..., fragments: _Optional[_Iterable[_Union[Fragment, _Mapping]]] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("run", "epoch", "roster_digest")
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROSTER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    run: str
    epoch: int
    roster_digest: bytes
    def __init__(self, run: _Optional[str] = ..., epoch: _Optional[int] = ..., roster_digest: _Optional[bytes] = ...) -> None: ...

class EpochKey(_message.Message):
    __slots__ = ("institution", "run", "epoch", "roster_digest", "public_key", "signature")
    INSTITUTION_FIELD_NUMBER: _ClassVar[int]
    RUN_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    ROSTER_DIGEST_FIELD_NUMBER: _ClassVar[int]
    PUBLIC_KEY_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    institution: str
    run: str
    epoch: int
    roster_digest: bytes
    public_key: bytes
    signature: bytes
    def __init__(self, institution: _Optional[str] = ..., run: _Optional[str] = ..., epoch: _Optional[int] = ..., roster_digest: _Optional[bytes] = ..., public_key: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class TrainRequest(_message.Message):
    __slots__ = ("plan", "keys")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    keys: _containers.RepeatedCompositeFieldContainer[EpochKey]
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., keys: _Optional[_Iterable[_Union[EpochKey, _Mapping]]] = ...) -> None: ...

class MaskedHeader(_message.Message):
    __slots__ = ("institution", "context", "update_words", "width", "counters", "shares", "commitments", "agreement", "signature")
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class CommitmentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    INSTITUTION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    UPDATE_WORDS_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    COUNTERS_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    COMMITMENTS_FIELD_NUMBER: _ClassVar[int]
    AGREEMENT_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    institution: str
    context: bytes
    update_words: int
    width: int
    counters: int
    shares: _containers.ScalarMap[str, bytes]
    commitments: _containers.ScalarMap[str, bytes]
    agreement: bytes
    signature: bytes
    def __init__(self, institution: _Optional[str] = ..., context: _Optional[bytes] = ..., update_words: _Optional[int] = ..., width: _Optional[int] = ..., counters: _Optional[int] = ..., shares: _Optional[_Mapping[str, bytes]] = ..., commitments: _Optional[_Mapping[str, bytes]] = ..., agreement: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class AgreeRequest(_message.Message):
    __slots__ = ("plan", "survivors")
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    survivors: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., survivors: _Optional[_Iterable[str]] = ...) -> None: ...

class Agreement(_message.Message):
    __slots__ = ("institution", "context", "survivors", "signature")
    INSTITUTION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    institution: str
    context: bytes
    survivors: _containers.RepeatedScalarFieldContainer[str]
    signature: bytes
    def __init__(self, institution: _Optional[str] = ..., context: _Optional[bytes] = ..., survivors: _Optional[_Iterable[str]] = ..., signature: _Optional[bytes] = ...) -> None: ...

class UnmaskRequest(_message.Message):
    __slots__ = ("plan", "survivors", "agreements", "shares")
    class AgreementsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    class SharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    PLAN_FIELD_NUMBER: _ClassVar[int]
    SURVIVORS_FIELD_NUMBER: _ClassVar[int]
    AGREEMENTS_FIELD_NUMBER: _ClassVar[int]
    SHARES_FIELD_NUMBER: _ClassVar[int]
    plan: Plan
    survivors: _containers.RepeatedScalarFieldContainer[str]
    agreements: _containers.ScalarMap[str, bytes]
    shares: _containers.ScalarMap[str, bytes]
    def __init__(self, plan: _Optional[_Union[Plan, _Mapping]] = ..., survivors: _Optional[_Iterable[str]] = ..., agreements: _Optional[_Mapping[str, bytes]] = ..., shares: _Optional[_Mapping[str, bytes]] = ...) -> None: ...

class PairShare(_message.Message):
    __slots__ = ("survivor", "lost", "share")
    SURVIVOR_FIELD_NUMBER: _ClassVar[int]
    LOST_FIELD_NUMBER: _ClassVar[int]
    SHARE_FIELD_NUMBER: _ClassVar[int]
    survivor: str
    lost: str
    share: bytes
    def __init__(self, survivor: _Optional[str] = ..., lost: _Optional[str] = ..., share: _Optional[bytes] = ...) -> None: ...

class Shares(_message.Message):
    __slots__ = ("institution", "context", "self_shares", "pair_shares", "signature")
    class SelfSharesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: bytes
        def __init__(self, key: _Optional[str] = ..., value: _Optional[bytes] = ...) -> None: ...
    INSTITUTION_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    SELF_SHARES_FIELD_NUMBER: _ClassVar[int]
    PAIR_SHARES_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    institution: str
    context: bytes
    self_shares: _containers.ScalarMap[str, bytes]
    pair_shares: _containers.RepeatedCompositeFieldContainer[PairShare]
    signature: bytes
    def __init__(self, institution: _Optional[str] = ..., context: _Optional[bytes] = ..., self_shares: _Optional[_Mapping[str, bytes]] = ..., pair_shares: _Optional[_Iterable[_Union[PairShare, _Mapping]]] = ..., signature: _Optional[bytes] = ...) -> None: ...
