from __future__ import annotations

import hashlib

from shared.audit.facts import answer_digest, plan_facts
from shared.exchange import Reply
from shared.secagg.messages import Layout, Plan
from shared.secagg.signing import plan_digest
from shared.work import StatisticsRangeWork


def test_a_plan_in_words_that_both_sides_use() -> None:
    body = StatisticsRangeWork().canonical()
    plan = Plan("trial", 1, 2, b"r" * 32, b"k" * 32, ("ash", "elm"), 2, 2, 1, Layout(0, 64), 1.0, 1, body, b"m" * 32)
    facts = plan_facts(plan)
    assert facts["work"] == "statistics-range"
    assert facts["plan_sha256"] == plan_digest(plan).hex()
    assert facts["work_sha256"] == hashlib.sha256(body).hexdigest()
    assert (facts["cohort"], facts["counters"]) == (["ash", "elm"], 64)


def test_an_answer_s_digest_is_over_header_and_blob() -> None:
    assert answer_digest(Reply(b"a", b"b")) == hashlib.sha256(b"ab").hexdigest()
