"""Every way in which the protocol says no, one type an attack or a fault, each naming who and why.

::

    ProtocolError
    ├── ForgedMessage        a signature that does not verify, a key that is not its owner's, a message changed on the way
    ├── WrongRoster          another roster than the pinned one, or a member who is not on it
    ├── IllegalPlan          a plan that could overflow, a threshold too low for its cohort, a cohort that hides nobody
    ├── ReplayedRound        a round at or below one already seen, or another plan for the same round
    ├── EquivocatedSet       a second surviving set for a round, or one that is not within its cohort
    ├── UnprovenSet          a surviving set without the signatures it needs
    ├── WrongShare           a sealed share that does not open, or one that does not match its commitment
    ├── IllegalVector        a vector of the wrong size or type, a NaN or infinite update, a weight out of range
    ├── LostEpoch            the institution has no state for this epoch: a new one must be opened
    ├── MissingBase          the institution does not hold the model that it was to start from: it needs the whole one
    └── VoidRound            too few survivors, shares or signatures: nothing of this round can be used
"""

from __future__ import annotations

from shared.errors import ProtocolError


class ForgedMessage(ProtocolError):
    """A signature that does not verify, or a message that was changed on its way."""


class WrongRoster(ProtocolError):
    """Another roster than the pinned one, or a member who is not on it."""


class IllegalPlan(ProtocolError):
    """A plan that could overflow, has too low a threshold, or a cohort that hides nobody."""


class ReplayedRound(ProtocolError):
    """A round at or below one already seen, or another plan for a round already planned."""


class EquivocatedSet(ProtocolError):
    """A second surviving set for one round, or one that is not within its cohort."""


class UnprovenSet(ProtocolError):
    """A surviving set without the signatures it needs."""


class WrongShare(ProtocolError):
    """A sealed share that does not open, or a seed that does not match its commitment."""


class IllegalVector(ProtocolError):
    """A vector of the wrong size or type, a NaN or infinite update, or a weight out of range."""


class LostEpoch(ProtocolError):
    """The institution holds no state for this epoch; a new epoch must be opened."""


class MissingBase(ProtocolError):
    """The institution does not hold the model that the message builds on; it needs the whole one."""


class VoidRound(ProtocolError):
    """Too few survivors, shares or signatures: the round is void and is trained anew."""
