"""Teachers as institutions have them: fitted here, from a Hugging Face folder, an exported graph, or boosted trees."""

from __future__ import annotations

from shared.teachers.opening import forget_others, kind_of, lies_at, open_teacher
from shared.teachers.teacher import Teacher

__all__ = ["Teacher", "forget_others", "kind_of", "lies_at", "open_teacher"]
