"""A few texts that name what a small graph knows."""

from __future__ import annotations

import numpy as np

from shared.knowledge.linking import TextMapping
from shared.knowledge.triples import graph_of
from shared.task import TextTask

TEXT_TASK = TextTask(family="text", labels=("flu", "fracture"), tokenizer_sha256="0" * 64, vocabulary=20, max_tokens=12)
GRAPH = graph_of(
    [("flu", "shows", "cough", 1.0), ("flu", "shows", "fever", 1.0), ("broken bone", "shows", "swelling", 1.0)], entities=["weather"]
)
MAPPING = TextMapping(
    classes={"flu": "flu", "fracture": "broken bone"},
    names={"cough": ("cough", "coughing"), "fever": ("fever", "high temperature"), "swelling": ("swelling", "swollen")},
)
TEXTS = ["Coughing, and a high temperature", "a swollen ankle", "fever since Monday", "the wrist is swollen", "nothing to say"] * 4
LABELS = np.array([0, 1, 0, 1, -1] * 4)
