"""What a run tells whoever watches it: one frozen value an occurrence, to a callback and into the store.

No event holds a figure of one institution: only names, sizes, times and sums over a cohort.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, TypeAdapter

from shared.exchange import MessageKind
from shared.frozen import Frozen


class RunStarted(Frozen):
    """The run begins, or goes on after a stop (``resumed``)."""

    kind: Literal["run-started"] = "run-started"
    run: str
    roster: tuple[str, ...]
    rounds: int
    resumed: bool


class PrivacyStated(Frozen):
    """What the run promises before it asks anything: ``epsilon`` at ``delta`` for all its training rounds together.

    ``spent`` is the epsilon of earlier rounds where the run goes on.
    """

    kind: Literal["privacy-stated"] = "privacy-stated"
    epsilon: float
    delta: float
    rounds: int
    spent: float = 0.0


class BudgetSpent(Frozen):
    """No training round is left in the privacy budget (void ones cost, too): the student is what ``rounds`` updates made of it."""

    kind: Literal["budget-spent"] = "budget-spent"
    epsilon: float
    delta: float
    rounds: int


class EpochOpened(Frozen):
    """An epoch's keys are there: ``members`` can take part; ``absent`` and ``refused`` (name → sentence) cannot."""

    kind: Literal["epoch-opened"] = "epoch-opened"
    epoch: int
    members: tuple[str, ...]
    absent: tuple[str, ...] = ()
    refused: dict[str, str] = Field(default_factory=dict)


class PhaseStarted(Frozen):
    """The run turns to another phase."""

    kind: Literal["phase-started"] = "phase-started"
    phase: str


class RoundStarted(Frozen):
    """A round is asked. ``training_round`` counts from 1 (``None`` outside training); ``attempt`` is 0 unless rounds before were void."""

    kind: Literal["round-started"] = "round-started"
    number: int
    phase: str
    cohort: tuple[str, ...]
    training_round: int | None = None
    attempt: int = 0
    resumed: bool = False


class InstitutionAnswered(Frozen):
    """An institution answered a stage of a round with ``bytes_up`` bytes, ``seconds`` after it was asked."""

    kind: Literal["institution-answered"] = "institution-answered"
    number: int
    institution: str
    stage: MessageKind
    bytes_up: int
    seconds: float


class InstitutionAbsent(Frozen):
    """An institution did not answer, or answered what cannot be used; ``reason`` says which."""

    kind: Literal["institution-absent"] = "institution-absent"
    number: int
    institution: str
    stage: MessageKind
    reason: str


class InstitutionRefused(Frozen):
    """An institution said no; ``reason`` is its own sentence."""

    kind: Literal["institution-refused"] = "institution-refused"
    number: int
    institution: str
    stage: MessageKind
    code: str
    reason: str


class RoundClosed(Frozen):
    """A round's sum is applied and safe on disk. ``metrics`` are figures of the cohort's sums; ``seconds`` by stage.

    ``blamed`` gave wrong shares or commitments, which were left out; of a ``doubted`` pair one did, nobody can tell which.
    """

    kind: Literal["round-closed"] = "round-closed"
    number: int
    phase: str
    survivors: tuple[str, ...]
    blamed: tuple[str, ...] = ()
    doubted: tuple[tuple[str, str], ...] = ()
    metrics: dict[str, float] = Field(default_factory=dict)
    seconds: dict[str, float] = Field(default_factory=dict)


class RoundVoid(Frozen):
    """Nothing of the round can be used; it is trained anew."""

    kind: Literal["round-void"] = "round-void"
    number: int
    phase: str
    reason: str
    absent: tuple[str, ...] = ()


class ArtifactWritten(Frozen):
    """The signed artifact lies at ``path``."""

    kind: Literal["artifact-written"] = "artifact-written"
    path: str


class RunFinished(Frozen):
    """The run is over; ``artifact`` as in :class:`ArtifactWritten`."""

    kind: Literal["run-finished"] = "run-finished"
    run: str
    artifact: str


class RunStopped(Frozen):
    """The run was asked to stop; every closed round is kept."""

    kind: Literal["run-stopped"] = "run-stopped"
    run: str
    closed_rounds: int


Event = (
    RunStarted
    | PrivacyStated
    | BudgetSpent
    | EpochOpened
    | PhaseStarted
    | RoundStarted
    | InstitutionAnswered
    | InstitutionAbsent
    | InstitutionRefused
    | RoundClosed
    | RoundVoid
    | ArtifactWritten
    | RunFinished
    | RunStopped
)
_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])


def parse_event(content: bytes | str) -> Event:
    """The event that ``content`` (JSON) holds; raises pydantic's ``ValidationError``."""
    return _EVENT.validate_json(content)
