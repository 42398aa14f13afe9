"""The public digits of the regime ``logits`` are nobody's, and it alone gets them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from benchmarks.regimes import REGIMES, _of, changed, hold_apart
from fedstill.plan import builtin_federation
from shared.config import RecordsProxy
from shared.data import load_pool
from shared.data.digits import read_digits
from shared.data.proxy import read_proxy


def test_public_digits_are_no_site_s_and_not_in_the_test(tmp_path: Path) -> None:
    base = builtin_federation("digits")
    config = base.model_copy(update={"data": hold_apart(tmp_path, 3), "split": base.split.model_copy(update={"sites": 5})})
    public = read_proxy(RecordsProxy(source="records", path=tmp_path / "public.npz"), config.task)
    pool, digits = load_pool(config), read_digits()
    parts = [public, pool.train.inputs, pool.test.inputs]
    assert len(public) == 359
    together = np.concatenate(parts)
    # No digit twice, and none missing: the parts are the whole in another order.
    assert sorted(image.tobytes() for image in together) == sorted(image.tobytes() for image in digits.inputs)
    assert (tmp_path / "public.npz").read_bytes() != (hold_apart(tmp_path, 4), (tmp_path / "public.npz").read_bytes())[1]


def test_one_regime_has_proxy_records(tmp_path: Path) -> None:
    base = builtin_federation("digits")
    found = {regime: changed(base, _of(regime, tmp_path)).proxy for regime in REGIMES}
    assert [regime for regime, proxy in found.items() if proxy is not None] == ["logits"]
    assert found["logits"] == RecordsProxy(source="records", path=tmp_path / "public.npz")
