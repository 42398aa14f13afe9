from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import encoding


@pytest.mark.timeout(300)
def test_the_quick_form_measures_every_encoding(tmp_path: Path) -> None:
    encoding.main(["--quick", "--json", str(tmp_path / "claims.json")])
    claims = {entry["name"]: entry for entry in json.loads((tmp_path / "claims.json").read_text())["claims"]}
    for variant in encoding.VARIANTS:
        assert f"heart.{variant}_points" in claims
    assert claims["heart.defaults_bytes_up_payload"]["value"] == 1.0
    assert claims["heart.defaults_bytes_up"]["value"] < 2.0 < claims["heart.defaults_bytes_up"]["baseline"]
    assert claims["heart.defaults_bytes_down"]["value"] < 1.0
    # The rotation makes the rounding of eight bits at least three times finer.
    assert 3 * claims["heart.w8_rotated_error"]["value"] < claims["heart.w8_error"]["value"]
    assert claims["heart.w16_error"]["value"] < 0.1
