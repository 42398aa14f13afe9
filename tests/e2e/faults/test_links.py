"""A slow link and a cut one, under the whole deployed federation: the run ends, and ends with the student that it should."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from safetensors.numpy import load

from tests.support.deployed import Running
from tests.support.faults import Ground, check_whole, ground, play, wait_until
from tests.support.link import Link
from tests.support.small import undisturbed

pytestmark = [pytest.mark.e2e, pytest.mark.faults, pytest.mark.timeout(900)]

DEADLINE_S = 60.0
SLOW_BYTES_PER_S = 20_000.0


@pytest.fixture(scope="module")
def linked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ground, Link]]:
    links: list[Link] = []

    def through(port: int) -> int:
        links.append(Link(port))
        return links[0].port

    with ground(tmp_path_factory.mktemp("links"), address=through, deadline_s=DEADLINE_S) as made, links[0] as link:
        for name in made.federation.institutions:
            made.begin(name)
        yield made, link


def same_student(here: Ground, run: str) -> bool:
    path: Path = here.federation.coordinator / "runs" / run / "student.safetensors"
    digest = hashlib.sha256(load(path.read_bytes())["vector"].tobytes()).hexdigest()
    return digest == undisturbed(len(here.federation.institutions), 2)


def test_a_slow_link_only_takes_longer(linked: tuple[Ground, Link]) -> None:
    here, link = linked

    def slow(running: Running) -> None:
        wait_until(here, "slow", "before-training", running)
        link.bytes_per_s = SLOW_BYTES_PER_S

    outcome = play(here, "slow", slow)
    link.bytes_per_s = None
    check_whole(here, "slow")
    assert outcome.void or outcome.missing or same_student(here, "slow")


@pytest.mark.parametrize("seconds", [2.0, 20.0])
def test_a_link_that_is_cut_while_answers_are_on_their_way(seconds: float, linked: tuple[Ground, Link]) -> None:
    here, link = linked
    run = f"cut-{seconds:g}"

    def cut(running: Running) -> None:
        wait_until(here, run, "after-answer", running)
        link.cut()
        time.sleep(seconds)
        link.mend()

    outcome = play(here, run, cut)
    check_whole(here, run)
    assert outcome.void or outcome.missing or same_student(here, run)
