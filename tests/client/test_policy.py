"""An institution's own policy, sentence by sentence."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from client.policy import allowed_counters, check_plan
from shared.config import InstitutionConfig
from shared.errors import PolicyRefusal
from shared.secagg.messages import Layout, Plan
from shared.settings import DistillationSettings, EmbeddingTerms, ProxyTerms, SharedEntities, TrainingSettings
from shared.work import (
    AnswerWork,
    EntitiesWork,
    ImportanceWork,
    KnowledgeWork,
    Normalisation,
    StatisticsRangeWork,
    TrainWork,
    Work,
    counter_fields,
    field_slices,
)

TRAIN = TrainWork(
    version=0, seed=1, normalisation=Normalisation(), training=TrainingSettings(epochs=4), distillation=DistillationSettings()
)

ANSWER = AnswerWork(
    version=0,
    seed=1,
    normalisation=Normalisation(),
    training=TrainingSettings(epochs=4),
    distillation=DistillationSettings(),
    proxy=ProxyTerms(),
    records=5,
    proxy_sha256="a" * 64,
)


def config(**policy: Any) -> InstitutionConfig:
    return InstitutionConfig.model_validate(
        {
            "name": "va",
            "task": {"family": "tabular", "label": "ill", "labels": ["no", "yes"], "columns": [{"name": "age"}]},
            "data": {"source": "arrays", "path": "records.npz"},
            "student": {"width": 4, "depth": 1},
            "policy": {"smallest_cohort": 3, "collusion": 1, **policy},
        }
    )


def plan(work: Work = TRAIN, **changed: Any) -> Plan:
    counters = sum(field.length for field in counter_fields(work, config().task))
    made = Plan(
        run="trial",
        epoch=1,
        round=12,
        roster_digest=b"",
        keys_digest=b"",
        cohort=("a", "b", "va"),
        threshold=3,
        share_threshold=3,
        collusion=1,
        layout=Layout(10 if work in (TRAIN, ANSWER) else 0, counters),
        clip_norm=3.0,
        weight_cap=10,
        body=work.canonical(),
        blob_digest=b"",
    )
    return replace(made, **changed)


def test_what_it_agrees_to_passes() -> None:
    check_plan(config(), plan(), TRAIN)
    check_plan(config(), plan(StatisticsRangeWork()), StatisticsRangeWork())
    check_plan(config(updates=["weights"]), plan(), TRAIN)
    check_plan(config(updates=["answers"], most_proxy_records=5, proxy_sha256="a" * 64), plan(ANSWER), ANSWER)


def test_a_pruned_one_of_its_own_is_learnt_and_no_other_shape() -> None:
    own = config().student
    pruned = own.model_copy(update={"depth": 1, "inner": 2, "heads": 1})
    check_plan(config(), plan(), TRAIN.model_copy(update={"student": pruned}))
    for changes in ({"width": own.width * 2}, {"patch": 1}, {"architecture": "perceptron"}, {"embedding_width": 4}):
        work = TRAIN.model_copy(update={"student": own.model_copy(update=changes)})
        with pytest.raises(PolicyRefusal, match="not a pruned one of its own"):
            check_plan(config(), plan(), work)
    with pytest.raises(PolicyRefusal, match="answers come from its own student"):
        check_plan(config(), plan(ANSWER), ANSWER.model_copy(update={"student": own}))


@pytest.mark.parametrize(
    ("policy", "changed", "work", "sentence"),
    [
        ({"smallest_cohort": 4}, {}, TRAIN, "cohort of 3 is below its own smallest cohort 4 (policy.smallest_cohort)"),
        ({"collusion": 2}, {}, TRAIN, "withstands 1 colluding institutions, it wants 2 (policy.collusion)"),
        ({"longest_clip_norm": 1.0}, {}, TRAIN, "clip norm 3 is above its own longest clip norm 1 (policy.longest_clip_norm)"),
        ({"most_rounds": 11}, {}, TRAIN, "at most 11 rounds of a run (policy.most_rounds)"),
        ({"most_epochs": 3}, {}, TRAIN, "4 local epochs are more than its own 3 (policy.most_epochs)"),
        ({"metrics": ["evaluation"]}, {}, StatisticsRangeWork(), "lets no statistics of its records leave"),
        ({"most_epochs": 3}, {}, ANSWER, "4 local epochs are more than its own 3 (policy.most_epochs)"),
        ({"updates": ["answers"]}, {}, TRAIN, "it lets no update of its student's weights leave, masked or not (policy.updates)"),
        ({"updates": ["weights"]}, {}, ANSWER, "it lets no answers to proxy records leave, masked or not (policy.updates)"),
        ({"most_proxy_records": 4}, {}, ANSWER, "it answers at most 4 proxy records, not 5 (policy.most_proxy_records)"),
        ({"proxy_sha256": "b" * 64}, {}, ANSWER, "SHA-256 aaaaaaaaaaaaaaaa… are not those it answers (policy.proxy_sha256)"),
        ({"longest_clip_norm": 1.0}, {}, ANSWER, "clip norm 3 is above its own longest clip norm 1 (policy.longest_clip_norm)"),
        ({}, {"layout": Layout(11, 9)}, ANSWER, "answers to 5 proxy records among its 2 labels are 10 words, not 11"),
        ({}, {"fragments": {"va": ((0, 3),)}}, ANSWER, "answers have neither fragments nor heads"),
        ({}, {"layout": Layout(10, 3)}, TRAIN, "the work 'train' has 9 counters in its task, not 3"),
        ({}, {"layout": Layout(0, 9)}, TRAIN, "does not go with an update of 0 words"),
    ],
)
def test_each_violation_is_a_sentence(policy: dict[str, Any], changed: dict[str, Any], work: Work, sentence: str) -> None:
    with pytest.raises(PolicyRefusal) as caught:
        check_plan(config(**policy), plan(work, **changed), work)
    assert str(caught.value).startswith("institution 'va' refused round 12: ")
    assert sentence in str(caught.value)


SHARED = TRAIN.model_copy(update={"knowledge": KnowledgeWork(embeddings=EmbeddingTerms(), shared=SharedEntities())})
COUNTED = EntitiesWork(slots=64, graph_sha256="c" * 64)


@pytest.mark.parametrize("work", [SHARED, COUNTED])
def test_nothing_of_its_entities_leaves_unless_it_agrees_and_enough_stand_behind_each(work: Work) -> None:
    made = plan(work, layout=Layout(10 if work is SHARED else 0, sum(field.length for field in counter_fields(work, config().task))))
    with pytest.raises(PolicyRefusal, match="neither counts of its graph's hashed entities nor changes of their embeddings leave"):
        check_plan(config(), made, work)
    with pytest.raises(PolicyRefusal, match="entities that 2 institutions know are to be shared, it wants at least 3"):
        check_plan(config(entities=True), made, work)
    check_plan(config(entities=True), replace(made, smallest_cohort=3), work)
    check_plan(config(), plan(), TRAIN)


def test_another_graph_than_the_pinned_one_is_not_counted_either() -> None:
    made = replace(plan(COUNTED), smallest_cohort=3)
    check_plan(config(entities=True, graph_sha256="c" * 64), made, COUNTED)
    with pytest.raises(PolicyRefusal, match="cccccccccccccccc… is not the one it learns from"):
        check_plan(config(entities=True, graph_sha256="d" * 64), made, COUNTED)


def test_evaluation_stays_at_home_where_the_policy_says_so() -> None:
    counters = np.arange(1, 9)
    assert allowed_counters(config(), TRAIN, counters).tolist() == [1, 2, 3, 4, 5, 6, 7, 8]
    kept = allowed_counters(config(metrics=["statistics"]), TRAIN, counters)
    assert kept.tolist() == [0, 0, 0, 0, 0, 0, 7, 0], "only the number of records that trained may leave"
    assert counters.tolist() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_what_parts_are_worth_is_a_statistic_of_activations_and_its_losses_are_evaluations() -> None:
    work = ImportanceWork(normalisation=Normalisation(), blocks=2, heads=4, inner=8)
    check_plan(config(), plan(work), work)
    with pytest.raises(PolicyRefusal, match="it lets no statistics of its activations leave"):
        check_plan(config(metrics=["statistics", "evaluation"]), plan(work), work)
    fields = counter_fields(work, config().task)
    told = allowed_counters(config(metrics=["statistics", "activations"]), work, np.full(sum(field.length for field in fields), 3))
    found = {name: told[place].tolist() for name, place in field_slices(fields)}
    assert found["eval_loss"] + found["eval_skipped_loss"] == [0] * 3
    assert found["taylor_records"] + found["taylor_heads"] + found["taylor_inner"] == [3] * 13
