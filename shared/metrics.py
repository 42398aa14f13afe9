"""``/metrics`` for Prometheus, on a port that this machine alone can reach, unless :data:`HOST_VARIABLE` names another of its addresses.

Nothing is counted in memory: a collector reads the store, the audit or the status file when it is asked, so that a restart of any
process loses no count. What cannot be read is said by ``fedstill_readable 0``, not by a missing service.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from shared.errors import DeploymentError, FedstillError
from shared.hosting import LOOPBACK
from shared.logs import kind_and_place

_LOG = logging.getLogger("fedstill.metrics")

HOST_VARIABLE = "FEDSTILL_METRICS_HOST"
"""The address, or a name of it, on which ``/metrics`` is answered instead of loopback. Whoever reaches it reads the names of
institutions, their absences and sizes: it is for an address that only Prometheus reaches, as in docker-compose.yml."""
EVERYWHERE = ("0.0.0.0", "::")

Read = Callable[[], Iterable[Metric]]
"""Reads all families anew."""


class Reading(Collector):
    """A collector over a function; an error of it becomes ``fedstill_readable 0``, and the log has its place if nobody foresaw it."""

    def __init__(self, read: Read) -> None:
        self._read = read

    def collect(self) -> Iterator[Metric]:
        """All families, or that they cannot be read now."""
        try:
            found, readable = list(self._read()), 1.0
        except FedstillError:
            found, readable = [], 0.0
        except Exception as error:
            _LOG.error("the metrics cannot be read: %s", kind_and_place(error))
            found, readable = [], 0.0
        yield GaugeMetricFamily("fedstill_readable", "Whether what is counted here could be read.", readable)
        yield from found


@contextmanager
def serve_metrics(port: int | None, read: Read) -> Iterator[int | None]:
    """Answers on ``127.0.0.1:port`` inside the ``with``; ``None`` answers nowhere. Yields the port (0 takes a free one).

    The environment's :data:`HOST_VARIABLE` puts another address of this machine in the place of loopback. Raises
    :class:`DeploymentError` where the port is taken, and where that address is not one of this machine's, or all of them.
    """
    if port is None:
        yield None
        return
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Reading(read))
    host = _host()
    try:
        server, thread = start_http_server(port, addr=host, registry=registry)
    except OSError as error:
        raise DeploymentError(f"cannot listen on {host}:{port}: {error.strerror}; give another with --metrics-port") from error
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _host() -> str:
    name = os.environ.get(HOST_VARIABLE) or LOOPBACK
    try:
        host = str(socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)[0][4][0])
    except OSError as error:
        raise DeploymentError(f"{HOST_VARIABLE} is '{name}', which is no address of this machine: {error.strerror}") from error
    if host in EVERYWHERE:
        raise DeploymentError(
            f"{HOST_VARIABLE} is '{name}', which opens the metrics to every network: name the one address that Prometheus reaches"
        )
    return host


def counter(name: str, text: str, labels: tuple[str, ...], counts: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    """A counter family from (label values, count) pairs."""
    family = CounterMetricFamily(name, text, labels=labels)
    for values, count in counts:
        family.add_metric(_written(values), count)
    return family


def gauge(name: str, text: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    """A gauge family from (label values, value) pairs."""
    family = GaugeMetricFamily(name, text, labels=labels)
    for label, value in values:
        family.add_metric(_written(label), value)
    return family


def _written(values: Iterable[str]) -> list[str]:
    # Half of a surrogate pair cannot be written in UTF-8, and would fail only after the answer has begun.
    return [value.encode(errors="replace").decode() for value in values]
