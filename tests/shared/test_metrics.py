from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.metrics_core import Metric

from shared.errors import DeploymentError, ResourceError
from shared.metrics import HOST_VARIABLE, counter, gauge, serve_metrics


def families() -> Iterator[Metric]:
    yield counter("fedstill_rounds", "Rounds.", ("run",), [(('od"d\n',), 3)])
    yield gauge("fedstill_online", "Now.", (), [((), 2.0)])


def scrape(port: int | None) -> str:
    response = httpx.get(f"http://127.0.0.1:{port}/metrics", timeout=10, trust_env=False)
    assert response.status_code == 200
    return response.text


def test_what_is_read_is_answered_on_loopback() -> None:
    with serve_metrics(0, families) as port:
        text = scrape(port)
    assert 'fedstill_rounds_total{run="od\\"d\\n"} 3.0' in text
    assert "fedstill_online 2.0" in text
    assert "fedstill_readable 1.0" in text
    with pytest.raises(httpx.TransportError):
        scrape(port)


def test_what_cannot_be_read_is_said() -> None:
    def broken() -> Iterator[Metric]:
        yield from families()
        raise ResourceError("the store failed")

    with serve_metrics(0, broken) as port:
        text = scrape(port)
    assert "fedstill_readable 0.0" in text
    assert "fedstill_rounds" not in text


@pytest.mark.parametrize("error", [OSError(5, "Mr Canary"), KeyError("Mr Canary"), RecursionError("Mr Canary")])
def test_an_error_that_nobody_foresaw_is_no_missing_service(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterator[Metric]:
        yield from families()
        raise error

    with serve_metrics(0, broken) as port:
        text = scrape(port)
    assert "fedstill_readable 0.0" in text
    assert f"{type(error).__name__} at " in caplog.text
    assert "in broken" in caplog.text
    assert "Canary" not in caplog.text + text


def test_a_label_that_cannot_be_written_is_no_broken_answer() -> None:
    with serve_metrics(0, lambda: [gauge("fedstill_odd", "Odd.", ("name",), [(("a\ud800",), 1.0)])]) as port:
        assert 'fedstill_odd{name="a?"} 1.0' in scrape(port)


def test_no_port_no_server_and_a_taken_one_is_said_so() -> None:
    with serve_metrics(None, families) as port:
        assert port is None
    with socket.create_server(("127.0.0.1", 0)) as taken:
        number = taken.getsockname()[1]
        with pytest.raises(DeploymentError, match=f"127.0.0.1:{number}.*--metrics-port"), serve_metrics(number, families):
            pass


def test_another_address_of_this_machine_stands_in_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "127.0.0.2")
    with serve_metrics(0, families) as port:
        assert httpx.get(f"http://127.0.0.2:{port}/metrics", timeout=10, trust_env=False).status_code == 200
        with pytest.raises(httpx.TransportError):
            scrape(port)


@pytest.mark.parametrize(
    ("host", "words"),
    [("0.0.0.0", "every network"), ("::", "every network"), ("no.such.host.invalid", "no address"), ("192.0.2.1", "cannot listen")],
)
def test_no_address_of_this_machine_alone_is_refused(monkeypatch: pytest.MonkeyPatch, host: str, words: str) -> None:
    monkeypatch.setenv(HOST_VARIABLE, host)
    with pytest.raises(DeploymentError, match=words), serve_metrics(0, families):
        pass


def test_an_empty_address_is_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(HOST_VARIABLE, "")
    with serve_metrics(0, families) as port:
        assert "fedstill_readable" in scrape(port)
