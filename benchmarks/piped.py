"""Institutions as processes at the other ends of pipes: what Flower carries, without Flower. No torch."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterator, Mapping
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path

from benchmarks.made_up import MadeUpWorkbench, without_torch
from benchmarks.stopwatch import highest
from client.handlers import InstitutionHandlers
from client.site import InstitutionSite
from shared.exchange import Absent, Again, Answer, Refusal, Request, never_again


class PipeExchange:
    """An exchange with institutions that are processes at the other ends of pipes."""

    def __init__(self, homes: Mapping[str, Path]) -> None:
        context = multiprocessing.get_context("forkserver")
        # Once for all of them: what is imported is shared until somebody writes to it.
        context.set_forkserver_preload([__name__])
        self._ends: dict[str, Connection] = {}
        self._processes = []
        for name, home in homes.items():
            ours, theirs = context.Pipe()
            process = context.Process(target=institution, args=(home, theirs), daemon=True)
            process.start()
            theirs.close()
            self._ends[name] = ours
            self._processes.append(process)
        # As a deployed coordinator waits until everyone is here.
        for one in self._ends.values():
            one.recv()

    def institutions(self) -> frozenset[str]:
        """All of them."""
        return frozenset(self._ends)

    def ask(self, requests: Mapping[str, Request], deadline_s: float, again: Again = never_again) -> Iterator[tuple[str, Answer]]:
        """As :meth:`shared.exchange.Exchange.ask`."""
        for name, request in requests.items():
            self._ends[name].send(request)
        waiting = {self._ends[name]: name for name in requests}
        end = time.monotonic() + deadline_s
        while waiting:
            ready = wait(list(waiting), timeout=max(0.0, end - time.monotonic()))
            for one in ready:
                assert isinstance(one, Connection)
                answer, name = one.recv(), waiting[one]
                following = again(name, answer) if isinstance(answer, Refusal) else None
                if following is not None:
                    one.send(following)
                    continue
                del waiting[one]
                yield name, answer
            if not ready:
                break
        for name in waiting.values():
            yield name, Absent(f"no answer within {deadline_s:g} s")

    def end(self) -> list[tuple[float, float]]:
        """Ends them; what each took: its most resident bytes, and its CPU seconds."""
        for one in self._ends.values():
            one.send(None)
        taken = [one.recv() for one in self._ends.values()]
        for process in self._processes:
            process.join()
        return taken


def institution(home: Path, end: Connection) -> None:
    """Answers as the worker of an institution does, until it is told to end."""
    began = time.process_time()
    site = InstitutionSite(home)
    handlers = InstitutionHandlers(site, partial(MadeUpWorkbench, site))
    end.send("here")
    while (request := end.recv()) is not None:
        end.send(handlers.answer(request))
    without_torch()
    end.send((highest(), time.process_time() - began))
