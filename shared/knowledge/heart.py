"""The built-in cardiology graph, and how the heart records name its entities.

``heart.tsv`` says of each triple what was read and how far it bears the triple out; docs/knowledge.md sums it up. Two things the graph
does not say, on purpose: that no chest pain at all speaks for disease (in these records it does, because of who was sent to the
hospitals; medicine says no such thing), and how strong any finding is.
"""

from __future__ import annotations

import csv
from collections.abc import Collection
from pathlib import Path
from typing import Literal

from shared.frozen import Frozen
from shared.knowledge.linking import CategoryLink, RangeLink, TableMapping
from shared.knowledge.reading import bounded_text, lines_of
from shared.knowledge.triples import Graph, graph_of

FILE = Path(__file__).with_name("heart.tsv")
DISEASE = "coronary artery disease"
SOUND = "sound coronary circulation"

Checked = Literal["read", "secondary", "disputed", "unchecked"]
"""How a triple was checked: its source ``read``, or what reports the source (``secondary``); sources disagree, or none was found."""
BORNE_OUT: tuple[Checked, ...] = ("read", "secondary")
"""What is loaded unless asked otherwise."""


class CitedTriple(Frozen):
    """A row of ``heart.tsv``: ``says`` is what ``source`` states, in our words, and where that falls short of the triple."""

    head: str
    relation: str
    tail: str
    source: str
    checked: Checked
    says: str


MAPPING = TableMapping(
    classes={"yes": DISEASE, "no": SOUND},
    relations=("causes", "finding of", "raises risk of"),
    hops=2,
    columns=(
        # Years; ATP III counts age as a risk from 45 in men and 55 in women. A range sees one column: in between, nothing is said.
        RangeLink(column="age", edges=(45, 55), entities=("younger age", None, "older age")),
        CategoryLink(column="sex", entities={"male": "male sex"}),
        CategoryLink(column="cp", entities={"typical angina": "typical angina", "non-anginal": "non-anginal chest pain"}),
        # mmHg; ESC/ESH 2018, and ATP III. ACC/AHA 2017 would say 130.
        RangeLink(column="trestbps", edges=(140,), entities=(None, "high systolic pressure")),
        # mg/dl; ATP III. 0 in these records is a value that nobody wrote down.
        RangeLink(column="chol", edges=(1, 240), entities=(None, None, "high total cholesterol")),
        # Above 120 mg/dl, say the records; diabetes begins at 126.
        CategoryLink(column="fbs", entities={"yes": "raised fasting glucose"}),
        CategoryLink(
            column="restecg",
            entities={"st-t abnormality": "ST-T abnormality at rest", "lv hypertrophy": "left ventricular hypertrophy"},
        ),
        # Beats a minute. No source that was read gives these edges: studies use 85 % of 220 - age, which is 130 at 67 years and 144 at 50,
        # and a range sees one column. The two rules for a low rate agree on 83 % of the records.
        RangeLink(column="thalach", edges=(130, 160), entities=("low peak heart rate", None, "high peak heart rate")),
        CategoryLink(column="exang", entities={"yes": "angina on exercise", "no": "no angina on exercise"}),
        # Taken as millimetres (0.1 mV); studies count from 1 mm, and again from 2 mm.
        RangeLink(
            column="oldpeak",
            edges=(0.1, 1, 2),
            entities=("no ST depression", None, "ST depression of 1 mm or more", "ST depression of 2 mm or more"),
        ),
        CategoryLink(
            column="slope",
            entities={
                "upsloping": "upsloping ST segment on exercise",
                "flat": "flat ST segment on exercise",
                "downsloping": "downsloping ST segment on exercise",
            },
        ),
        # The records say "colored by fluoroscopy"; that it means calcium is our reading, after the study of their makers (Gianrossi 1990).
        RangeLink(
            column="ca", edges=(1, 2), entities=("no calcified major vessel", "calcified major vessel", "several calcified major vessels")
        ),
        CategoryLink(
            column="thal",
            entities={
                "normal": "normal perfusion",
                "fixed defect": "fixed perfusion defect",
                "reversible defect": "reversible perfusion defect",
            },
        ),
    ),
)
"""How the columns of :mod:`shared.data.heart` name entities of the graph."""


def read_heart_triples() -> tuple[CitedTriple, ...]:
    """All triples of ``heart.tsv`` with their sources, those that are not borne out among them."""
    lines = (line for _, line in lines_of(bounded_text(FILE, what="triples")))
    return tuple(CitedTriple.model_validate(row) for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def read_heart_graph(checked: Collection[Checked] = BORNE_OUT) -> Graph:
    """The graph of the triples that were ``checked`` in one of these ways."""
    return graph_of((row.head, row.relation, row.tail, 1.0) for row in read_heart_triples() if row.checked in checked)
