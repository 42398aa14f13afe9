"""The rebuilt FLamby protocol: its features, its sizes, its scaling."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from benchmarks import flamby
from benchmarks.harness import bench_data
from shared.errors import DataError

ROWS = """age,sex,cp,trestbps,chol,fbs,restecg,thalach,exang,oldpeak,slope,ca,thal,num
63,1,1,145,233,1,2,150,0,2.3,3,0,6,0
67,1,4,160,286,0,0,108,1,1.5,?,?,?,2,
40,0,2,?,200,0,1,150,0,0,?,?,?,0
50.0,0.0,3.0,120.0,200.0,0.0,1.0,150.0,0.0,0.0,1.0,0.0,3.0,4
"""


@pytest.fixture
def heart() -> dict[str, flamby.Centre]:
    if "FEDSTILL_BENCH_DATA" not in os.environ:
        pytest.skip("SKIPPED: FEDSTILL_BENCH_DATA is not set, so FLamby's split is not checked against its published sizes")
    return flamby.read_centres(bench_data("heart_raw"))


def test_a_row_becomes_thirteen_features_and_a_label(tmp_path: Path) -> None:
    path = tmp_path / "processed.cleveland.data"
    path.write_text(ROWS)
    part = flamby.read_centre(path)
    assert part.inputs.tolist() == [
        pytest.approx([63, 1, 145, 233, 1, 150, 0, 2.3, 0, 0, 0, 0, 1]),
        pytest.approx([67, 1, 160, 286, 0, 108, 1, 1.5, 0, 0, 1, 0, 0]),
        pytest.approx([50, 0, 120, 200, 0, 150, 0, 0, 0, 1, 0, 1, 0]),
    ]
    assert part.labels.tolist() == [0, 1, 1]
    assert len(flamby.FEATURES) == part.inputs.shape[1]


def test_a_short_row_is_named(tmp_path: Path) -> None:
    path = tmp_path / "processed.va.data"
    path.write_text("63,1,4,140\n")
    with pytest.raises(DataError, match=r"processed\.va\.data line 1 has 4 columns, not 14"):
        flamby.read_centre(path)


@pytest.mark.bench
def test_sizes_are_the_published_ones(heart: dict[str, flamby.Centre]) -> None:
    sizes = [(len(centre.train.labels), len(centre.test.labels)) for centre in heart.values()]
    assert sizes == [(199, 104), (172, 89), (30, 16), (85, 45)]
    assert {centre.train.inputs.shape[1] for centre in heart.values()} == {13}


@pytest.mark.bench
def test_validation_puts_the_test_records_away(heart: dict[str, flamby.Centre]) -> None:
    held = flamby.validation(heart, seed=3)
    for name, centre in heart.items():
        rebuilt = np.concatenate([held[name].train.inputs, held[name].test.inputs])
        assert sorted(map(tuple, rebuilt.tolist())) == sorted(map(tuple, centre.train.inputs.tolist()))


def test_a_split_has_no_record_twice_and_is_stratified() -> None:
    part = flamby.Part(np.arange(100, dtype=np.float32)[:, None], (np.arange(100) % 4 == 0).astype(np.int64))
    centre = flamby.split(part, 43)
    assert (len(centre.train.labels), len(centre.test.labels)) == (66, 34)
    assert sorted([*centre.train.inputs[:, 0], *centre.test.inputs[:, 0]]) == list(range(100))
    assert centre.test.labels.mean() == pytest.approx(0.25, abs=0.02)


def test_scaling_uses_training_records_only() -> None:
    train = flamby.Part(np.array([[1.0, 5.0], [3.0, 5.0]], np.float32), np.array([0, 1]))
    test = flamby.Part(np.array([[5.0, 5.0]], np.float32), np.array([1]))
    centres = {"one": flamby.Centre(train, test)}
    for scale in (flamby.scaled, flamby.scaled_together):
        result = scale(centres)["one"]
        assert result.train.inputs[:, 0] == pytest.approx([-(0.5**0.5), 0.5**0.5])
        assert result.test.inputs[0] == pytest.approx([3 / 2**0.5, 0.0])
