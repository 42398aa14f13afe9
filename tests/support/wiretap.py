"""An exchange that writes down all that passes, and lets a test change it or stop the run there: the coordinator's, or a thief's.

A *scene* is a run that was stopped just before one request was sent: the institutions are as a liar finds them, with the
true requests at hand, and the run can go on afterwards as if nothing had been.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from client.app import make_app
from client.handlers import InstitutionHandlers
from client.site import InstitutionSite
from fedstill.simulation import Faults, LocalGrid, no_faults
from server.coordinator import Coordinator, RunResult
from server.events import Event
from server.flower import GridExchange
from server.site import CoordinatorSite
from shared.exchange import Again, Answer, Exchange, MessageKind, Refusal, Reply, Request, never_again
from shared.rpc.codec import from_wire, open_request, seal_request, to_wire
from shared.secagg.messages import AgreeRequest, OpenRequest, TrainRequest, UnmaskRequest
from tests.support.small import SmallFederation, SmallToolbox, SmallWorkbench

TYPES: dict[MessageKind, Any] = {"open": OpenRequest, "train": TrainRequest, "agree": AgreeRequest, "unmask": UnmaskRequest}


OnRequest = Callable[[str, Request], Request]
OnAnswer = Callable[[str, Request, Answer], Answer]


def as_asked(_name: str, request: Request) -> Request:
    return request


def as_answered(_name: str, _request: Request, answer: Answer) -> Answer:
    return answer


class CutError(Exception):
    """The run was stopped before these requests were sent."""

    def __init__(self, requests: Mapping[str, Request]) -> None:
        super().__init__("the run was stopped here on purpose")
        self.requests = dict(requests)


@dataclass
class Wiretap:
    """Passes requests and answers on through two functions, and keeps both as they arrived."""

    inner: Exchange
    on_request: OnRequest = as_asked
    on_answer: OnAnswer = as_answered
    cut_before: tuple[MessageKind, int] | None = None
    requests: list[tuple[str, Request]] = field(default_factory=list)
    answers: list[tuple[str, Answer]] = field(default_factory=list)

    def institutions(self) -> frozenset[str]:
        return self.inner.institutions()

    def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
        def asked_again(name: str, refusal: Refusal) -> Request | None:
            following = again(name, refusal)
            return None if following is None else self._tapped(name, following)

        if self.cut_before in {(request.kind, request.round) for request in requests.values()}:
            raise CutError(requests)
        sent = {name: self._tapped(name, request) for name, request in requests.items()}
        for name, answer in self.inner.ask(sent, deadline_s, asked_again):
            arrived = self.on_answer(name, sent[name], answer)
            self.answers.append((name, arrived))
            yield name, arrived

    def _tapped(self, name: str, request: Request) -> Request:
        changed = self.on_request(name, request)
        self.requests.append((name, changed))
        return changed


@dataclass
class Tapped:
    """A run, what it said, and what passed."""

    result: RunResult
    events: list[Event]
    wire: Wiretap


def run_tapped(
    federation: SmallFederation,
    *,
    on_request: OnRequest = as_asked,
    on_answer: OnAnswer = as_answered,
    cut_before: tuple[MessageKind, int] | None = None,
    faults: Faults = no_faults,
    workbench: Any = SmallWorkbench,
) -> Tapped:
    """A run of the federation with a tap on its wire. Raises :class:`CutError` at ``cut_before`` (kind and round; Open has 0)."""
    events: list[Event] = []
    site = CoordinatorSite(federation.coordinator)
    grid = LocalGrid(make_app(workbench), federation.institutions, faults=faults)
    wire = Wiretap(GridExchange(grid, frozenset(federation.institutions), poll_s=0.001), on_request, on_answer, cut_before)
    try:
        return Tapped(Coordinator(site, wire, events.append, toolbox=SmallToolbox()).run("trial"), events, wire)
    finally:
        grid.close()
        site.store.close()


@dataclass
class Scene:
    """A run that was stopped before ``requests`` (by institution) were sent, and a coordinator that may now lie."""

    federation: SmallFederation
    requests: dict[str, Request]

    def __post_init__(self) -> None:
        self.coordinator = CoordinatorSite(self.federation.coordinator)

    def ask(self, name: str, request: Request, workbench: Any = SmallWorkbench) -> Reply | Refusal:
        """A fresh process of the institution answers."""
        site = InstitutionSite(self.federation.institutions[name])
        return InstitutionHandlers(site, lambda: workbench(site)).answer(request)

    def opened(self, name: str = "ash") -> Any:
        """The true message to an institution."""
        request = self.requests[name]
        return from_wire(TYPES[request.kind], open_request(request.kind, request.header, self.coordinator.roster.coordinator))

    def sealed(self, message: Any, blob: bytes | None = None) -> Request:
        """Another message, signed by the coordinator; with the true blob if none is given."""
        kind = next(kind for kind, made in TYPES.items() if isinstance(message, made))
        true = next(iter(self.requests.values())).blob if blob is None and kind == "train" else blob
        return Request(kind, seal_request(kind, to_wire(message), self.coordinator.identity), true or b"")

    def finish(self, *, faults: Faults = no_faults) -> RunResult:
        """The run goes on with honest requests."""
        return self.federation.run(faults=faults)


def scene(federation: SmallFederation, kind: MessageKind, number: int, *, faults: Faults = no_faults) -> Scene:
    """Plays the run until requests of ``kind`` in round ``number`` are about to be sent (Open has round 0)."""
    try:
        run_tapped(federation, cut_before=(kind, number), faults=faults)
    except CutError as cut:
        return Scene(federation, cut.requests)
    raise AssertionError(f"the run never asked {kind} of round {number}")
