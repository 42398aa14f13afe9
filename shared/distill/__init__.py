"""Distillation: objectives written against ``Features``, teacher targets, the trainer of one round, teachers and evaluation."""

from __future__ import annotations

from shared.distill.evaluation import Evaluation, evaluate
from shared.distill.trainer import Outcome, distil

__all__ = ["Evaluation", "Outcome", "distil", "evaluate"]
