"""What the steps of a compression hand on to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from rich.console import Console

from fedstill.compressing.lessons import Lessons
from fedstill.compressing.plan import CompressPlan
from fedstill.compressing.scoring import Scorer
from fedstill.report.compressed import Cut, Stage

if TYPE_CHECKING:
    from shared.models import Network

GRAPH_FILE, PRUNED_FILE = "student.onnx", "student.safetensors"


@dataclass
class Work:
    """``student`` is the one to go on with, ``original`` the float ONNX of the one that came in; ``before`` are the students before each
    cut that was kept, the first one first; ``changes`` are what the manifest will say was done to it."""

    plan: CompressPlan
    console: Console
    lessons: Lessons
    scorer: Scorer
    student: Network
    original: bytes
    before: list[Network] = field(default_factory=list)
    changes: list[str] = field(default_factory=list)
    stages: list[Stage] = field(default_factory=list)
    cuts: list[Cut] = field(default_factory=list)

    @property
    def points(self) -> list[tuple[str, float, float]]:
        """Name, milliseconds here and accuracy of the files among the stages: those of which the device's time is known."""
        return [(one.name, one.here_ms, one.accuracy) for one in self.stages if one.here_ms is not None and one.device_ms is not None]
