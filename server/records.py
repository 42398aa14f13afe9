"""What the store keeps of a run, as typed values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pydantic import Field

from shared.frozen import Frozen

RoundStatus = Literal["open", "closed", "void"]
EpochStatus = Literal["opening", "open"]
RunStatus = Literal["running", "finished"]


class RoundRecord(Frozen):
    """One round as the coordinator saw it: what reports, consoles and cards are made of. No figure of one institution.

    ``number`` counts every round of the run; ``training_round`` counts updates from 1 and is ``None`` outside training.
    ``absent`` and ``refused`` map names to sentences; ``lost_epoch`` names who needs a new epoch. ``bytes_up`` and
    ``bytes_down`` are per institution over all stages, ``answers`` the SHA-256 of each answer by stage and institution; ``seconds`` by
    stage; ``counters`` are the decoded sums by name;
    ``metrics`` the figures made of them. ``rho`` is what the round costs each institution's privacy, void or not.
    """

    number: int
    phase: str
    training_round: int | None = None
    attempt: int = 0
    epoch: int = 1
    status: RoundStatus = "open"
    cohort: tuple[str, ...] = ()
    survivors: tuple[str, ...] = ()
    absent: dict[str, str] = Field(default_factory=dict)
    refused: dict[str, str] = Field(default_factory=dict)
    lost_epoch: tuple[str, ...] = ()
    blamed: tuple[str, ...] = ()
    doubted: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    weight: int = 0
    rho: float = 0.0
    bytes_up: dict[str, int] = Field(default_factory=dict)
    bytes_down: dict[str, int] = Field(default_factory=dict)
    answers: dict[str, dict[str, str]] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)
    counters: dict[str, tuple[int, ...]] = Field(default_factory=dict)
    metrics: dict[str, float] = Field(default_factory=dict)


@dataclass(frozen=True)
class StoredRound:
    """A round with what is needed to ask it again: ``plan`` is the encoded Train request, ``blob`` its file in the run's folder."""

    record: RoundRecord
    version: int
    plan: bytes
    blob: str
    checkpoint: str = ""


@dataclass(frozen=True)
class Epoch:
    """An epoch: who was asked for a key, who gave one (encoded ``EpochKey``), who refused with which sentence.

    Who is ``pending`` will answer once its operator has approved the run; the store does not keep that, and takes it for absent.

    ``first_round`` is the number of the first round that may use it.
    """

    number: int
    first_round: int
    asked: tuple[str, ...]
    status: EpochStatus = "opening"
    keys: dict[str, bytes] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    pending: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """When the first and the last of some events were (seconds since 1970; ``None`` without any), and the last one's number (0)."""

    first: float | None
    last: float | None
    newest: int
