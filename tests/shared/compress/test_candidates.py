from __future__ import annotations

import pytest

from shared.compress.candidates import candidates
from shared.compress.cost import Times, timing_on
from shared.compress.cost.times import SAME_TIME
from shared.compress.devices import DEVICES, RECIPES
from shared.compress.operators import count_operators
from shared.compress.quantise import quantise
from shared.errors import ConfigError
from tests.shared.compress.test_quantise import ranges


def integers(content):
    return sum(count_operators(content).int8.values())


def test_an_unknown_device_is_named(image_onnx):
    with pytest.raises(ConfigError, match="'abacus'"):
        candidates(image_onnx, {}, "abacus")


def test_they_follow_the_device_and_equal_files_come_once(table_onnx, table_rows, image_onnx, images):
    tables = candidates(table_onnx, ranges(table_onnx, table_rows), "portable")
    assert tuple(tables) == DEVICES["portable"].grids
    pictures = candidates(image_onnx, ranges(image_onnx, images), "portable")
    assert tuple(pictures) == ("u8s8-7bit", "u8u8")


def test_where_integers_are_slower_the_weights_alone_are_kept_in_8_bits(image_onnx, images):
    found = candidates(image_onnx, ranges(image_onnx, images), "portable", lambda file: Times(1.0 + 0.1 * integers(file)))
    assert [integers(made) for made in found.values()] == [0]


def test_the_fastest_comes_first_and_of_equals_the_smallest(image_onnx, images):
    found = candidates(image_onnx, ranges(image_onnx, images), "portable", lambda file: Times(1.0 - 0.05 * integers(file)))
    times = [-integers(made) for made in found.values()]
    assert times == sorted(times)
    alike = [len(made) for made in found.values() if integers(made) == -times[0]]
    assert alike == sorted(alike)
    assert len(found) > 1


def test_only_what_pays_is_in_int8(image_onnx, images):
    # The classifier alone is slower in INT8: the best file has all else in it.
    def cost(file):
        kinds = count_operators(file).int8
        return Times(1.0 - 0.05 * kinds.get("Conv", 0) + 0.1 * kinds.get("Gemm", 0))

    name, best = next(iter(candidates(image_onnx, ranges(image_onnx, images), "portable", cost).items()))
    assert name.endswith("-paying")
    assert count_operators(best).int8["Conv"] == 3
    assert "Gemm" not in count_operators(best).int8


def test_equal_arguments_give_equal_files(image_onnx, images):
    made = [
        list(candidates(image_onnx, ranges(image_onnx, images), "portable", lambda file: Times(1.0 - 0.01 * integers(file))).items())
        for _ in range(2)
    ]
    assert made[0] == made[1]


def test_every_name_is_a_recipe_of_the_same_grid(image_onnx, images):
    found = candidates(image_onnx, ranges(image_onnx, images), "x86-avx512-vnni", lambda file: Times(1.0 - 0.01 * integers(file)))
    assert set(found) <= set(RECIPES)
    assert found["u8s8"] == quantise(image_onnx, ranges(image_onnx, images), "u8s8")


def test_what_pays_on_one_device_and_not_on_another_is_left_in_float(image_onnx, images):
    # Everything pays on the device itself; elsewhere the classifier costs more than all convolutions win.
    def timing(file):
        kinds = count_operators(file).int8
        convolutions, classifiers = kinds.get("Conv", 0), kinds.get("Gemm", 0)
        return Times(1.0 - 0.1 * convolutions - 0.1 * classifiers, {"elsewhere": 1.0 - 0.1 * convolutions + 0.5 * classifiers})

    whole = timing(image_onnx)
    found = candidates(image_onnx, ranges(image_onnx, images), "portable", timing)
    best = next(iter(found.values()))
    assert count_operators(best).int8["Conv"] == 3
    assert "Gemm" not in count_operators(best).int8
    # Files that are slower somewhere are judged as well, for the devices where they are not; but last.
    slower = [timing(made).slower(whole) is not None for made in found.values()]
    assert slower == sorted(slower)
    assert any(slower)


def test_what_is_faster_nowhere_and_slower_somewhere_is_left_out(image_onnx, images):
    def timing(file):
        return Times(1.0, {"elsewhere": 1.0 + 0.1 * integers(file)})

    assert [integers(made) for made in candidates(image_onnx, ranges(image_onnx, images), "portable", timing).values()] == [0]


@pytest.mark.parametrize("family", ["table", "image"])
def test_the_best_portable_file_is_slower_on_no_known_device(family, request, table_rows, images):
    content = request.getfixturevalue(f"{family}_onnx")
    found = candidates(content, ranges(content, {"table": table_rows, "image": images}[family]), "portable", timing_on("portable"))
    best = next(iter(found.values()))
    for device in DEVICES:
        times, whole = (timing_on(device)(one).seconds for one in (best, content))
        assert times <= whole * (1 + SAME_TIME)
