"""The dashboard and the alerts ask for what services answer, by the labels that they answer with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics_core import CounterMetricFamily

from client.metrics import InstitutionMetrics
from server.metrics import read_metrics
from server.site import CoordinatorSite
from shared.metrics import Reading
from tests.e2e.observed import legends, queries
from tests.support.small import make_federation

OBSERVE = Path(__file__).parents[2] / "docker" / "observe"
BY_PROMETHEUS = {"job", "instance"}


@pytest.fixture(scope="module")
def answered(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, set[str]]:
    """Every series that a side answers, with the labels of it on either side."""
    folder = tmp_path_factory.mktemp("sides")
    federation = make_federation(folder, 3, rounds=1)
    coordinator = read_metrics(CoordinatorSite(federation.coordinator), folder / "status.json")
    institution = InstitutionMetrics(folder / "audit", lambda: True).read()
    found: dict[str, set[str]] = {"up": set()}
    for family in (*Reading(lambda: coordinator).collect(), *institution):
        name = f"{family.name}_total" if isinstance(family, CounterMetricFamily) else family.name
        found.setdefault(name, set()).update(family._labelnames)
    return found


@pytest.fixture(scope="module")
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((OBSERVE / "dashboards" / "fedstill.json").read_text())
    return found


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load((OBSERVE / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def check(query: str, answered: Mapping[str, set[str]]) -> None:
    names = re.findall(r"\b(fedstill_\w+|up)\b", query)
    assert names, query
    labels = {*BY_PROMETHEUS, *(label for name in names for label in answered[name])}
    for words in re.findall(r"\bby \(([^)]*)\)", query):
        assert set(re.findall(r"\w+", words)) <= labels, query
    for words in re.findall(r"{([^}]*)}", query):
        assert set(re.findall(r"(\w+)=", words)) <= labels, query


def test_every_query_of_the_dashboard_names_what_is_answered(dashboard: dict[str, Any], answered: Mapping[str, set[str]]) -> None:
    assert len(queries(dashboard)) >= 20
    for query in queries(dashboard):
        check(query, answered)


def test_legends_name_labels_that_are_left(dashboard: dict[str, Any], answered: Mapping[str, set[str]]) -> None:
    for query, wanted in legends(dashboard):
        (name,) = re.findall(r"\bfedstill_\w+", query)
        grouped = re.search(r"\bby \(([^)]*)\)", query)
        left = set(re.findall(r"\w+", grouped[1])) if grouped else answered[name] | BY_PROMETHEUS
        assert wanted <= left, query


def test_everything_that_is_answered_is_shown(dashboard: dict[str, Any], answered: Mapping[str, set[str]]) -> None:
    shown = set(re.findall(r"\b(?:fedstill_\w+|up)\b", " ".join(queries(dashboard)))) | {"up"}
    assert shown == set(answered)


def test_alerts_name_what_is_answered(answered: Mapping[str, set[str]]) -> None:
    for rule in alerts():
        check(rule["expr"], answered)
        names = re.findall(r"\b(?:fedstill_\w+|up)\b", rule["expr"])
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        assert told <= BY_PROMETHEUS.union(*(answered[name] for name in names))


def test_a_check_finds_what_nobody_answers(answered: Mapping[str, set[str]]) -> None:
    with pytest.raises(KeyError):
        check("sum(fedstill_rounds_made_total)", answered)
    with pytest.raises(AssertionError):
        check("sum by (hospital) (fedstill_rounds_total)", answered)


def test_panels_lie_beside_each_other_and_ask_the_provisioned_source(dashboard: dict[str, Any]) -> None:
    source = yaml.safe_load((OBSERVE / "datasource.yml").read_text())["datasources"][0]["uid"]
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        assert all(target["datasource"]["uid"] == source for target in panel.get("targets", ()))
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])


def test_prometheus_asks_each_service_of_the_demonstration() -> None:
    compose = yaml.safe_load((OBSERVE.parents[1] / "docker-compose.yml").read_text())["services"]
    names = {
        alias
        for service in compose.values()
        if isinstance(service.get("networks"), dict)
        for network in service["networks"].values()
        for alias in network.get("aliases", ())
    }
    jobs = yaml.safe_load((OBSERVE / "prometheus.yml").read_text())["scrape_configs"]
    asked = {target for job in jobs for group in job["static_configs"] for target in group["targets"]}
    assert asked == {f"{name}:9464" for name in names}
    assert "metrics_port=${METRICS_PORT:-9464}" in (OBSERVE.parent / "post.sh").read_text()
