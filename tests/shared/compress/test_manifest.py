from __future__ import annotations

import pytest
from pydantic import ValidationError

from shared.compress.manifest import Manifest, input_schema


def test_a_manifest_reads_back_as_it_was(manifest):
    assert Manifest.parse(manifest.canonical()) == manifest


def test_epsilon_is_null_without_differential_privacy(manifest):
    assert b'"epsilon":null' in manifest.canonical()


def test_unknown_keys_are_refused(manifest):
    with pytest.raises(ValidationError):
        Manifest.parse(manifest.canonical().replace(b'"device"', b'"devise"'))


def test_the_winner_has_figures(manifest):
    assert manifest.gate.won.name == "u8s8-7bit"


def test_inputs_of_both_families(table_task, image_task):
    assert input_schema(table_task).model_dump() == {
        "name": "inputs",
        "dtype": "float32",
        "shape": (3,),
        "categories": "index",
        "missing": "NaN",
        "preprocessing": "inside the graph",
    }
    assert input_schema(image_task).shape == (8, 8, 1)
    assert input_schema(image_task).missing == "none"
