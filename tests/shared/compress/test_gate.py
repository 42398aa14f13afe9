from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from onnx import helper

from shared.compress import runtime
from shared.compress.calibrate import calibrated_tensors, choose_ranges
from shared.compress.calibrate import range_counts as count_ranges
from shared.compress.cost import Times
from shared.compress.devices import DEVICES, saturates_here
from shared.compress.gate import Allowed, Cost, LossRefusal, choose, gate_counts, results
from shared.compress.quantise import quantise
from shared.errors import ArtifactError


def sums(records, float_right, right, agree):
    return {
        "gate_records": np.array([records]),
        "gate_float_right": np.array([float_right]),
        "gate_right": np.array(right),
        "gate_agree": np.array(agree),
    }


@pytest.fixture(scope="module")
def dense(dense_onnx):
    inputs = np.random.default_rng(3).normal(size=(150, 4)).astype(np.float32)
    labels = runtime.logits(runtime.session(dense_onnx), inputs).argmax(axis=1)
    labels[::10] = (labels[::10] + 1) % 3
    tensors = calibrated_tensors(dense_onnx)
    lows, highs = choose_ranges(tensors, count_ranges(dense_onnx, tensors, inputs))
    quantised = quantise(dense_onnx, {t: (lo, hi) for t, lo, hi in zip(tensors, lows, highs, strict=True)}, "u8s8-7bit")
    return {"same": dense_onnx, "int8": quantised}, SimpleNamespace(inputs=inputs, labels=labels)


def test_counts_are_what_they_say(dense_onnx, dense):
    candidates, records = dense
    found = gate_counts(dense_onnx, candidates, records)
    assert found["gate_records"].tolist() == [150]
    assert found["gate_float_right"].tolist() == [135]
    assert found["gate_right"][0] == 135
    assert found["gate_agree"][0] == 150
    assert 140 <= found["gate_agree"][1] <= 150


def test_counts_of_parts_add_up(dense_onnx, dense):
    candidates, records = dense
    whole = gate_counts(dense_onnx, candidates, records)
    parts = [
        gate_counts(dense_onnx, candidates, SimpleNamespace(inputs=records.inputs[part], labels=records.labels[part]))
        for part in (slice(0, 0), slice(0, 41), slice(41, 150))
    ]
    for name, counts in whole.items():
        assert (sum(part[name] for part in parts) == counts).all()


ANY = Cost(10)


def chosen(names, sums, max_drop):
    return choose(dict.fromkeys(names, ANY), sums, ANY, Allowed(max_drop))


def test_the_first_faithful_candidate_wins():
    assert chosen(("a", "b", "c"), sums(1000, 800, [800, 799, 801], [990, 995, 999]), 0.02) == "b"


def test_without_a_faithful_one_the_most_faithful_wins_and_ties_go_to_the_first():
    assert chosen(("a", "b", "c"), sums(1000, 800, [800, 800, 800], [980, 990, 990]), 0.02) == "b"


def test_a_candidate_that_loses_too_much_cannot_win_however_it_agrees():
    assert chosen(("a", "b"), sums(1000, 800, [779, 780], [999, 900]), 0.02) == "b"


def test_a_gain_of_accuracy_is_no_loss():
    assert chosen(("a",), sums(100, 80, [90], [90]), 0.0) == "a"


def test_nothing_to_sign_says_the_figures_and_what_is_against_each():
    figures = r"0\.8000 in float, on 1000 held-out records, allowed loss 0\.02; a: accuracy 0\.7000, 0\.1000 lost; b: accuracy 0\.7500, 0"
    with pytest.raises(ArtifactError, match=figures):
        chosen(("a", "b"), sums(1000, 800, [700, 750], [800, 800]), 0.02)


def test_a_slower_file_is_not_signed_however_right_it_is():
    files = {"slow": Cost(5, Times(1.2e-3)), "fast": Cost(6, Times(0.9e-3))}
    assert choose(files, sums(1000, 800, [800, 790], [1000, 950]), Cost(20, Times(1e-3)), Allowed(0.02)) == "fast"
    with pytest.raises(ArtifactError, match=r"slow: accuracy 0\.8000, 1\.200 ms where float takes 1\.000 ms"):
        choose({"slow": files["slow"]}, sums(1000, 800, [800], [1000]), Cost(20, Times(1e-3)), Allowed(0.02))


def test_a_file_that_is_slower_on_one_of_many_devices_is_not_signed_for_them():
    counts, whole = sums(1000, 800, [800], [1000]), Cost(20, Times(1e-3, {"a72": 8e-4, "a76": 5e-4}))
    assert choose({"a": Cost(5, Times(9e-4, {"a72": 8e-4, "a76": 5e-4}))}, counts, whole, Allowed(0.02)) == "a"
    with pytest.raises(ArtifactError, match=r"a: accuracy 0\.8000, 0\.600 ms where float takes 0\.500 ms on a76;"):
        choose({"a": Cost(5, Times(9e-4, {"a72": 9e-4, "a76": 6e-4}))}, counts, whole, Allowed(0.02))


def test_a_budget_of_time_is_one_of_the_slowest_device():
    counts, cost = sums(1000, 800, [800], [1000]), Cost(5, Times(1e-3, {"slow": 3e-3}))
    assert choose({"a": cost}, counts, Cost(20, cost.times), Allowed(0.02, seconds=3e-3)) == "a"
    with pytest.raises(ArtifactError, match=r"3\.000 of 2\.000 ms"):
        choose({"a": cost}, counts, Cost(20, cost.times), Allowed(0.02, seconds=2e-3))


def test_a_file_that_is_not_smaller_is_not_signed():
    counts = sums(1000, 800, [800], [1000])
    assert choose({"a": Cost(20)}, counts, Cost(20), Allowed(0.02)) == "a"
    with pytest.raises(ArtifactError, match="21 bytes where float has 20"):
        choose({"a": Cost(21)}, counts, Cost(20), Allowed(0.02))


def test_a_large_one_must_be_a_third():
    counts, large = sums(1000, 800, [800], [1000]), Cost(2**20 + 2)
    assert choose({"a": Cost(large.size // 3)}, counts, large, Allowed(0.02)) == "a"
    with pytest.raises(ArtifactError, match="bytes where float has"):
        choose({"a": Cost(large.size // 3 + 1)}, counts, large, Allowed(0.02))


def test_only_where_losing_less_would_have_been_enough_is_it_a_matter_of_loss():
    lossy = sums(100, 90, [70], [75])
    with pytest.raises(LossRefusal, match=r"0\.2000 lost"):
        choose({"a": ANY}, lossy, Cost(20), Allowed(0.1))
    with pytest.raises(ArtifactError, match=r"0\.2000 lost") as refused:
        choose({"a": ANY}, lossy, Cost(20), Allowed(0.1, size=5))
    assert not isinstance(refused.value, LossRefusal)
    slow_and_lossy = {"lossy": Cost(10, Times(1.0)), "slow": Cost(10, Times(9.0))}
    with pytest.raises(LossRefusal):
        choose(slow_and_lossy, sums(100, 90, [70, 90], [75, 99]), Cost(20, Times(2.0)), Allowed(0.1))


def test_budgets_hold():
    counts, whole = sums(1000, 800, [800], [1000]), Cost(100, Times(1e-3))
    assert choose({"a": Cost(40, Times(1e-3))}, counts, whole, Allowed(0.0, seconds=1e-3, size=40)) == "a"
    with pytest.raises(ArtifactError, match=r"1\.000 of 0\.500 ms"):
        choose({"a": Cost(40, Times(1e-3))}, counts, whole, Allowed(0.0, seconds=5e-4))
    with pytest.raises(ArtifactError, match="a time that nobody knows"):
        choose({"a": Cost(40)}, counts, whole, Allowed(0.0, seconds=5e-4))
    with pytest.raises(ArtifactError, match="40 of 39 bytes"):
        choose({"a": Cost(40, Times(1e-3))}, counts, whole, Allowed(0.0, size=39))


def test_without_records_nothing_is_signed():
    with pytest.raises(ArtifactError, match="no held-out records"):
        chosen(("a",), sums(0, 0, [0], [0]), 0.02)


def test_results_hold_decision_and_figures():
    timing = {b"1234": Times(4e-3, {"b": 8.0}), b"12": Times(3e-3, {"b": 6.0}), b"123": Times(2e-3, {"b": 2.0})}.__getitem__
    found = results(b"1234", {"a": b"12", "b": b"123"}, sums(100, 80, [79, 80], [99, 100]), Allowed(0.02), timing)
    assert found.winner == "b"
    assert (found.won.right, found.won.agree, found.won.size, found.won.seconds) == (80, 100, 3, 2e-3)
    assert [entry.name for entry in found.candidates] == ["a", "b"]
    assert [entry.ratios for entry in found.candidates] == [{"b": 0.75}, {"b": 0.25}]
    assert (found.float_size, found.float_seconds) == (4, 4e-3)


def test_without_a_cost_model_no_seconds_are_said():
    found = results(b"1234", {"a": b"12"}, sums(100, 80, [80], [100]), Allowed(0.02))
    assert found.won.seconds is None
    assert found.float_seconds is None


def test_a_file_for_vnni_is_judged_by_vnnis_arithmetic(make_graph):
    weights = np.stack([np.linspace(1.0, 0.92, 64), np.full(64, 0.98), np.full(64, 1.0)], axis=1).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["inputs", "w"], ["logits"], "product")]
    content = make_graph(nodes, {"w": weights}, ["batch", 64], 3)
    inputs = np.random.default_rng(4).uniform(0.9, 1.0, (100, 64)).astype(np.float32)
    records = SimpleNamespace(inputs=inputs, labels=np.zeros(100, np.int64))
    files = {"u8s8": quantise(content, {"inputs": (0.0, 1.0)}, "u8s8")}
    assert gate_counts(content, files, records)["gate_agree"].tolist() == [100]


def test_no_portable_file_is_emulated():
    assert not any(saturates_here(name) for name in (*DEVICES["portable"].grids, *DEVICES["x86-avx2"].grids, "float"))


def test_files_that_are_no_models_are_refused(dense_onnx, dense):
    _, records = dense
    with pytest.raises(ArtifactError, match="damaged or not ONNX"):
        gate_counts(dense_onnx, {"u8u8": b"noise"}, records)
