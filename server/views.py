"""What one institution may see of a run's events: what is about all of them, and what is about itself."""

from __future__ import annotations

from server.events import ArtifactWritten, EpochOpened, Event, InstitutionAbsent, InstitutionAnswered, InstitutionRefused, RunFinished


def seen_by(event: Event, institution: str) -> Event | None:
    """The event as ``institution`` may see it; ``None`` if it is about another one.

    How fast another answered and with what words it refused is between it and the coordinator; where the coordinator's files
    lie is nobody's business.
    """
    match event:
        case InstitutionAnswered() | InstitutionAbsent() | InstitutionRefused():
            return event if event.institution == institution else None
        case EpochOpened():
            own = {name: reason if name == institution else "" for name, reason in event.refused.items()}
            return event.model_copy(update={"refused": own})
        case ArtifactWritten():
            return event.model_copy(update={"path": ""})
        case RunFinished():
            return event.model_copy(update={"artifact": ""})
        case _:
            return event
