from __future__ import annotations

from types import SimpleNamespace

import pytest

from fedstill.compressing import cutting
from fedstill.compressing.cutting import Limits, cuts, kind_of
from shared.compress.cost import Times
from shared.compress.prune.plan import PruneSettings
from shared.models import count_parameters
from shared.settings import NetworkSettings
from tests.support.networks import network, records

DEEP = NetworkSettings(width=8, depth=5, heads=2, inner=32)
SETTINGS = PruneSettings(keep_layers=0.8, first_depth=5, multiple=8)


class Lessons:
    """Lessons whose healing does nothing and whose verdict on a student is told beforehand."""

    def __init__(self, accuracy):
        self.parts = SimpleNamespace(learn=records(count=20), watch=records(count=10, seed=1))
        self._accuracy, self.healed = accuracy, []

    def heal(self, student, epochs, purpose, on_epoch):
        self.healed.append(purpose)
        return student

    def watched(self, student):
        return SimpleNamespace(accuracy=self._accuracy(student))


def by_size(student):
    return Times(float(count_parameters(student)))


def tried(accuracy, limits, timing=by_size):
    lessons = Lessons(accuracy)
    return list(cuts(network(settings=DEEP), lessons, SETTINGS, limits, timing, 1)), lessons


def test_every_kind_is_cut_as_far_as_it_goes_where_nothing_is_lost():
    found, _ = tried(lambda student: 0.9, Limits(0.01))
    assert all(cut.accepted for cut, _ in found)
    smallest = found[-1][1].settings
    assert smallest.depth == 4
    assert smallest.heads == 1
    assert smallest.inner == 8
    sizes = [count_parameters(student) for _, student in found]
    assert sizes == sorted(sizes, reverse=True)


def test_a_cut_that_loses_too_much_is_not_kept_and_its_kind_not_tried_again():
    found, lessons = tried(lambda student: 0.9 if student.settings.depth == 5 else 0.5, Limits(0.1))
    refused = [cut for cut, _ in found if not cut.accepted]
    assert [cut.name for cut in refused] == ["1 of 5 blocks"]
    assert "40.00 points" in refused[0].reason
    assert found[-1][1].settings.depth == 5
    assert sum("blocks" in name for name in lessons.healed) == 1


def test_losses_add_up_from_the_first_student_on():
    # Each cut loses little: together they must not lose more than their share.
    sizes = {}

    def accuracy(student):
        return 0.9 - 0.004 * sizes.setdefault(count_parameters(student), len(sizes))

    found, _ = tried(accuracy, Limits(0.02))
    lost = [0.9 - cut.accuracy for cut, _ in found if cut.accepted]
    assert max(lost) <= cutting.SHARE_OF_DROP * 0.02 + 1e-12


def test_what_wins_no_time_is_not_even_healed():
    found, lessons = tried(lambda student: 0.9, Limits(0.01), timing=lambda student: Times(1.0))
    assert not any(cut.accepted for cut, _ in found)
    assert {cut.reason for cut, _ in found} == {"wins no time on the device"}
    assert lessons.healed == []


def test_what_is_slower_on_a_device_that_the_profile_stands_for_wins_nothing_either():
    def timing(student):
        size = float(count_parameters(student))
        return Times(size, {"elsewhere": 1 / size})

    found, lessons = tried(lambda student: 0.9, Limits(0.01), timing)
    assert not any(cut.accepted for cut, _ in found)
    assert lessons.healed == []


def test_a_budget_is_one_of_every_device():
    size = count_parameters(network(settings=DEEP))

    def timing(student):
        return Times(float(count_parameters(student)), {"slow": 10.0 * count_parameters(student)})

    assert tried(lambda student: 0.9, Limits(0.01, seconds=2.0 * size), timing)[0]
    assert tried(lambda student: 0.9, Limits(0.01, seconds=20.0 * size), timing)[0] == []


def test_it_stops_where_the_budget_is_met():
    whole = count_parameters(network(settings=DEEP))
    found, _ = tried(lambda student: 0.9, Limits(0.01, seconds=0.9 * whole))
    assert len(found) == 1
    none, _ = tried(lambda student: 0.9, Limits(0.01, seconds=2.0 * whole))
    assert none == []


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("1 of 6 blocks", "block"),
        ("heads 4→3", "heads"),
        ("inner 96→64", "inner 96"),
        ("heads merged 4→2", "heads merged 4→2"),
        ("GELU→ReLU", "GELU→ReLU"),
        ("1 × k + k × 1, 2 of 4 blocks", "1 × k + k × 1, 2 of 4 blocks"),
    ],
)
def test_kinds(name, kind):
    assert kind_of(name) == kind
