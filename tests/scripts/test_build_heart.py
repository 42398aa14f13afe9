from __future__ import annotations

import csv
import hashlib
import io

import pytest

from scripts import build_heart

HEADER = "id,age,sex,dataset,cp,trestbps,chol,fbs,restecg,thalch,exang,oldpeak,slope,ca,thal,num"
ROW = "1,63,Male,Cleveland,typical angina,0,0,TRUE,normal,150,FALSE,2.3,flat,0,reversable defect,3"


def first(line: str) -> dict[str, str]:
    (row,) = csv.DictReader(io.StringIO(f"{HEADER}\n{line}\n"))
    return build_heart.convert(row)


def test_a_patient_is_written_in_plain_words_and_zeros_that_mean_nothing_are_empty() -> None:
    row = first(ROW)
    assert tuple(row[name] for name in build_heart.HEADER) == (
        *("cleveland", "63", "male", "typical angina", "", "", "yes", "normal"),
        *("150", "no", "2.3", "flat", "0", "reversible defect", "yes"),
    )


def test_the_first_hungarian_goes_home() -> None:
    assert first(ROW.replace("1,", "304,", 1))["hospital"] == "hungary"


def test_no_disease_is_a_zero() -> None:
    assert first(ROW[:-1] + "0")["disease"] == "no"


def test_a_source_with_other_hospitals_is_not_built_from() -> None:
    with pytest.raises(SystemExit, match="the source has changed"):
        build_heart.build(f"{HEADER}\n{ROW}\n".encode())


def test_the_file_in_place_has_the_bytes_that_the_script_makes() -> None:
    # Pinned: the script's own --check needs the package registry, this does not.
    assert hashlib.sha256(build_heart.TARGET.read_bytes()).hexdigest() == "946b0cdc250d14bf1211d40a8334e744009e2f6414a0264cb4dd5fd5b85dcbc3"
