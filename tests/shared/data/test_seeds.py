from __future__ import annotations

from shared.data.seeds import generator


def test_the_same_seed_and_purpose_give_the_same_numbers_on_every_machine() -> None:
    assert generator(7, "deal").integers(0, 1000, 5).tolist() == generator(7, "deal").integers(0, 1000, 5).tolist()


def test_another_purpose_or_seed_gives_other_numbers() -> None:
    streams = {tuple(generator(*args).integers(0, 2**62, 4)) for args in ((7, "a"), (7, "b"), (8, "a"), (7, "a", "b"), (7, "ab"))}
    assert len(streams) == 5
