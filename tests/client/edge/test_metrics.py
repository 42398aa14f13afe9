"""Prometheus' text format, as its own rules say, and a port that only this machine reaches."""

from __future__ import annotations

import http.client
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.edge.drift import InputSeen
from client.edge.metrics import BOUNDS_S, CONTENT_TYPE, MOST_CATEGORIES, Histogram, MetricsServer, family, input_lines, sample
from shared.errors import DeploymentError

LINE = re.compile(r'[a-z_]+(\{([a-z_]+="([^"\\\n]|\\\\|\\"|\\n)*",?)*\})? (-?[0-9.e+-]+|NaN|inf)')


@given(st.lists(st.floats(0, 20)))
def test_a_histogram_counts_all_at_or_below_each_bound(values: list[float]) -> None:
    histogram = Histogram()
    for value in values:
        histogram.observe(value)
    lines = list(histogram.lines("t"))
    found = [int(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("t_bucket")]
    assert found == [*(sum(value <= bound for value in values) for bound in BOUNDS_S), len(values)]
    assert lines[-1] == f"t_count {len(values)}"
    assert float(lines[-2].split()[1]) == pytest.approx(sum(values))


@given(st.text())
def test_any_label_is_one_line_of_the_format(label: str) -> None:
    line = sample("fedstill_edge_x", 0.5, input=label)
    assert LINE.fullmatch(line) is not None or any(ord(letter) > 127 or ord(letter) < 32 for letter in label)
    assert "\n" not in line


def test_inputs_are_gauges_with_help_and_type() -> None:
    seen = [
        InputSeen("age", 9, 0.1, 50.0, 10.0, -0.5),
        InputSeen("dose", 9, 0.1, 2.0, 0.5),
        InputSeen("risk", 9, 0.0, category_shares={"low": 0.25, "high": 0.75}),
        InputSeen("postcode", 9, 0.0, category_shares={str(number): 0.0 for number in range(MOST_CATEGORIES + 1)}),
    ]
    lines = list(input_lines(seen))
    assert "# TYPE fedstill_edge_input_mean_difference gauge" in lines
    assert 'fedstill_edge_input_mean_difference{input="age"} -0.5' in lines
    assert not [line for line in lines if line.startswith("fedstill_edge_input_mean_difference") and "dose" in line]
    assert 'fedstill_edge_input_category_share{input="risk",category="high"} 0.75' in lines
    assert not [line for line in lines if "category" in line and "postcode" in line]
    assert all(line.startswith("# ") or LINE.fullmatch(line) for line in lines)
    assert list(family("x", "gauge", "Help.", ["x 1"])) == ["# HELP x Help.", "# TYPE x gauge", "x 1"]


def test_the_port_answers_metrics_and_nothing_else() -> None:
    server = MetricsServer(0, lambda: "x 1\n")
    try:
        with pytest.raises(DeploymentError, match="--metrics-port"):
            MetricsServer(server.port, lambda: "")
        found = []
        for path in ("/metrics", "/", "/metrics/../etc"):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            connection.request("GET", path)
            answer = connection.getresponse()
            found.append((answer.status, answer.getheader("Content-Type"), answer.read()))
            connection.close()
        assert found[0] == (200, CONTENT_TYPE, b"x 1\n")
        assert [status for status, _, _ in found] == [200, 404, 404]
    finally:
        server.close()
