"""A coordinator that lies about answers, with its true key, against whole institutions: refused before anyone works for it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from shared.answers import inputs_digest
from shared.exchange import Refusal, Reply
from shared.secagg.messages import Layout, Plan
from shared.work import Normalisation
from tests.support.small import SmallToolbox, make_federation
from tests.support.wiretap import Scene, scene

TRAINING = 3
"""The run's first round of answers."""
DIGEST = inputs_digest(SmallToolbox().proxy(Normalisation()))


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Before the first round of answers of institutions that pin the proxy records and keep their weights."""
    policy = {"updates": ["answers"], "proxy_sha256": DIGEST, "most_proxy_records": 10}
    proxy = {"source": "records", "path": "public.npz"}
    return scene(make_federation(tmp_path_factory.mktemp("answering"), 4, proxy=proxy, policy=policy), "train", TRAINING)


def body(plan: Plan, **changed: Any) -> bytes:
    return json.dumps({**json.loads(plan.body), **changed}).encode()


def as_weights(plan: Plan) -> bytes:
    table = json.loads(plan.body)
    return json.dumps(
        {key: table[key] for key in ("version", "seed", "normalisation", "training", "distillation")} | {"kind": "train"}
    ).encode()


LIES: dict[str, tuple[Any, str]] = {
    "other records": (lambda plan: {"body": body(plan, proxy_sha256="0" * 64)}, r"SHA-256 0000000000000000… are not those it answers"),
    "more records": (
        lambda plan: {"body": body(plan, records=11), "layout": replace(plan.layout, update_words=22)},
        "it answers at most 10 proxy records, not 11",
    ),
    "a longer table": (
        lambda plan: {"layout": Layout(21, plan.layout.counters, plan.layout.width)},
        "answers to 10 proxy records among its 2 labels are 20 words, not 21",
    ),
    "weights": (lambda plan: {"body": as_weights(plan)}, "it lets no update of its student's weights leave"),
    "fragments": (lambda plan: {"fragments": {"ash": ((0, 4),)}}, "answers have neither fragments nor heads"),
    "a longer update": (lambda plan: {"clip_norm": 11.0}, "clip norm 11 is above its own longest clip norm 10"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_with_a_sentence(answering: Scene, lie: str) -> None:
    change, sentence = LIES[lie]
    request = answering.opened()
    told = replace(request, plan=replace(request.plan, **change(request.plan)))
    answer = answering.ask("ash", answering.sealed(told), Lazy)
    assert isinstance(answer, Refusal)
    assert answer.code == "PolicyRefusal"
    assert answer.reason.startswith("institution 'ash' refused round 3: ")
    assert sentence in answer.reason


def test_the_truth_is_answered_afterwards(answering: Scene) -> None:
    assert isinstance(answering.ask("ash", answering.requests["ash"]), Reply)
    assert np.dtype(np.float32).itemsize * 20 < len(answering.requests["ash"].blob)


class Lazy:
    """Fails the test if an institution works for a request that it then refuses."""

    def __init__(self, site: Any) -> None:
        pass

    def perform(self, work: Any, blob: bytes, round_number: int) -> Any:
        raise AssertionError("it has worked for nothing")
