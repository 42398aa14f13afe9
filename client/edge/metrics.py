"""What the service counts, in Prometheus' text format, on a port of its own that only this machine can reach.

``prometheus-client`` would be one more package on every device for the few lines of text below (format 0.0.4).
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from client.edge.drift import InputSeen
from shared.errors import DeploymentError

PREFIX = "fedstill_edge"
BOUNDS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
"""Upper bounds in seconds of the latency's buckets."""
MOST_CATEGORIES = 64
"""Columns of more categories than these show no shares: each would be a series of its own."""
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Histogram:
    """Counts by upper bound, as Prometheus has them: a value equal to a bound counts below it."""

    def __init__(self, bounds: tuple[float, ...] = BOUNDS_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        """Counts one value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def lines(self, name: str) -> Iterator[str]:
        """The samples, cumulative."""
        total = 0
        for bound, count in zip((*self.bounds, float("inf")), self.counts, strict=True):
            total += count
            yield sample(f"{name}_bucket", total, le="+Inf" if bound == float("inf") else f"{bound:g}")
        yield sample(f"{name}_sum", self.sum)
        yield sample(f"{name}_count", total)


class Metrics:
    """Counters since the process began; only the event loop writes them."""

    def __init__(self) -> None:
        self.requests: Counter[str] = Counter()
        self.rows = 0
        self.latency = Histogram()

    def answered(self, code: str, rows: int, seconds: float) -> None:
        """Notes a request that ended with a status ``code``; ``rows`` that were answered, ``seconds`` from its coming to its answer."""
        self.requests[code] += 1
        self.rows += rows
        if code == "OK":
            self.latency.observe(seconds)


def family(name: str, kind: str, text: str, samples: Iterator[str] | list[str]) -> Iterator[str]:
    """A metric with its help and type."""
    yield f"# HELP {name} {text}"
    yield f"# TYPE {name} {kind}"
    yield from samples


def sample(name: str, value: float, **labels: str) -> str:
    """One sample's line."""
    inner = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    return f"{name}{{{inner}}} {value!r}" if inner else f"{name} {value!r}"


def input_lines(seen: list[InputSeen]) -> Iterator[str]:
    """The inputs' statistics as gauges; an input without a figure has no sample of it."""
    figures: Mapping[str, tuple[str, Callable[[InputSeen], float | None]]] = {
        "missing_share": ("Share of the input's values that were missing.", lambda one: one.missing_share),
        "mean": ("Mean of the input's values.", lambda one: one.mean),
        "deviation": ("Standard deviation of the input's values.", lambda one: one.deviation),
        "mean_difference": ("(mean - training mean) / training deviation.", lambda one: one.mean_difference),
    }
    for suffix, (text, figure) in figures.items():
        found = [(one.name, figure(one)) for one in seen]
        name = f"{PREFIX}_input_{suffix}"
        yield from family(name, "gauge", text, [sample(name, value, input=label) for label, value in found if value is not None])
    name = f"{PREFIX}_input_category_share"
    shares = [
        sample(name, share, input=one.name, category=category)
        for one in seen
        if len(one.category_shares) <= MOST_CATEGORIES
        for category, share in one.category_shares.items()
    ]
    yield from family(name, "gauge", "Share of a category among the input's values.", shares)


class MetricsServer:
    """Answers ``GET /metrics`` on loopback with what ``render`` gives, from a thread of its own."""

    def __init__(self, port: int, render: Callable[[], str]) -> None:
        """Listens at once; ``port`` 0 takes a free one. Raises :class:`DeploymentError` where the port is taken."""
        try:
            self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(render))
        except OSError as error:
            raise DeploymentError(f"cannot listen on 127.0.0.1:{port}: {error.strerror}; give another with --metrics-port") from error
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="edge-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(render: Callable[[], str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 5.0

        def do_GET(self) -> None:
            found = self.path == "/metrics"
            body = (render() if found else "only /metrics is here\n").encode()
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", CONTENT_TYPE)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            """Says nothing: a scrape every few seconds is no news."""

    return Handler


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
