"""Teachers as institutions have them: fitted here, from a Hugging Face folder, an exported graph, or boosted trees."""

from __future__ import annotations

from shared.teachers.opening import kind_of, open_teacher
from shared.teachers.teacher import Teacher

__all__ = ["Teacher", "kind_of", "open_teacher"]
