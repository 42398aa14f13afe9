"""The built-in cardiology graph, and how the heart records name its entities.

``heart.tsv`` names the source to check each triple against; docs/knowledge.md says how far that was done. Two things the graph does not
say, on purpose: that no chest pain at all speaks for disease (in these records it does, because of who was sent to the hospitals;
medicine says no such thing), and how strong any finding is.
"""

from __future__ import annotations

from pathlib import Path

from shared.knowledge.linking import CategoryLink, RangeLink, TableMapping
from shared.knowledge.tables import read_table
from shared.knowledge.triples import Graph

FILE = Path(__file__).with_name("heart.tsv")
DISEASE = "coronary artery disease"
SOUND = "sound coronary circulation"

MAPPING = TableMapping(
    classes={"yes": DISEASE, "no": SOUND},
    relations=("causes", "finding of", "raises risk of"),
    hops=2,
    columns=(
        RangeLink(column="age", edges=(45, 55), entities=("younger age", None, "older age")),
        CategoryLink(column="sex", entities={"male": "male sex"}),
        CategoryLink(column="cp", entities={"typical angina": "typical angina", "non-anginal": "non-anginal chest pain"}),
        # mmHg; Williams et al. 2018, table 3.
        RangeLink(column="trestbps", edges=(140,), entities=(None, "high systolic pressure")),
        # mg/dl; 0 in these records is a value that nobody wrote down.
        RangeLink(column="chol", edges=(1, 240), entities=(None, None, "high total cholesterol")),
        CategoryLink(column="fbs", entities={"yes": "raised fasting glucose"}),
        CategoryLink(
            column="restecg",
            entities={"st-t abnormality": "ST-T abnormality at rest", "lv hypertrophy": "left ventricular hypertrophy"},
        ),
        # Beats a minute, without regard to age: a coarse form of 85 % of 220 - age.
        RangeLink(column="thalach", edges=(130, 160), entities=("low peak heart rate", None, "high peak heart rate")),
        CategoryLink(column="exang", entities={"yes": "angina on exercise", "no": "no angina on exercise"}),
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


def read_heart_graph() -> Graph:
    """The graph of ``heart.tsv``."""
    return read_table(FILE).graph
