from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from shared.compress.cost import Times, predict, timing_on
from shared.compress.cost.times import SAME_TIME
from shared.compress.devices import DEVICES
from shared.errors import ArtifactError, ConfigError

SECONDS = st.floats(1e-6, 1.0)
PAIRS = st.lists(st.tuples(SECONDS, SECONDS), min_size=1, max_size=6)


def both(pairs):
    """Times of two files on the same devices."""
    names = [f"device {place}" for place in range(len(pairs) - 1)]
    return tuple(Times(pairs[0][side], dict(zip(names, (pair[side] for pair in pairs[1:]), strict=True))) for side in (0, 1))


@given(PAIRS)
def test_what_is_slower_somewhere_comes_behind_what_is_slower_nowhere(pairs):
    times, than = both(pairs)
    nowhere = all(own <= other * (1 + SAME_TIME) for own, other in pairs)
    assert (times.slower(than) is None) == nowhere
    assert (times.burden(than) <= 1 + SAME_TIME) == nowhere


@given(PAIRS)
def test_what_is_faster_somewhere_is_told(pairs):
    times, than = both(pairs)
    assert times.faster(than) == any(own / other < 1 - SAME_TIME for own, other in pairs)


@given(PAIRS)
def test_the_worst_device_is_named_with_its_seconds(pairs):
    times, than = both(pairs)
    slower = times.slower(than)
    if slower is not None:
        device, taken, other = slower
        assert taken / other == max(own / whole for own, whole in pairs)
        assert (taken, other) == ((times.elsewhere[device], than.elsewhere[device]) if device else (times.seconds, than.seconds))


@given(PAIRS, st.integers(0, 5), st.floats(0.1, 1.0))
def test_a_file_that_is_faster_somewhere_is_never_worse(pairs, place, faster):
    times, than = both(pairs)
    place %= len(pairs)
    better, _ = both([(own * (faster if place == index else 1.0), other) for index, (own, other) in enumerate(pairs)])
    assert better.burden(than) <= times.burden(than) * (1 + 1e-9)
    assert better.most <= times.most


@given(SECONDS, SECONDS)
def test_on_one_device_the_burden_is_the_ratio(own, other):
    assert Times(own).burden(Times(other)) == pytest.approx(own / other)
    assert Times(own).most == own


def test_files_are_timed_on_every_device_that_a_profile_stands_for(graphs):
    content, _ = graphs["tabular"]
    times = timing_on("portable")(content)
    assert times.seconds == predict(content, DEVICES["portable"]).seconds
    assert times.elsewhere == {name: predict(content, DEVICES[name]).seconds for name in DEVICES if name != "portable"}
    assert times.most == times.seconds
    alone = timing_on("cortex-a72")(content)
    assert alone == Times(times.elsewhere["cortex-a72"])


def test_a_file_is_looked_at_once(graphs, monkeypatch):
    asked = []

    def counting(content):
        asked.append(content)
        return real(content)

    from shared.compress.cost import times as module

    real = module.fused
    monkeypatch.setattr(module, "fused", counting)
    timing = timing_on("portable")
    first, second = timing(graphs["tabular"][0]), timing(bytes(graphs["tabular"][0]))
    assert first == second
    assert len(asked) == 1


def test_what_cannot_be_timed_is_said():
    with pytest.raises(ConfigError, match="unknown device 'abacus'"):
        timing_on("abacus")
    with pytest.raises(ArtifactError):
        timing_on("portable")(b"noise")
