"""A TCP link between two parties that a test makes slow, cuts, and lets be again. It sees TLS only, as a network does."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType

CHUNK = 4096


class Link:
    """Listens on loopback and carries bytes to ``target``; change ``bytes_per_s`` and call :meth:`cut` and :meth:`mend` at any time."""

    def __init__(self, target: int) -> None:
        self.bytes_per_s: float | None = None
        self._target = target
        self._whole = True
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.carried = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Breaks every connection in the middle of whatever it carries, and every new one at once."""
        with self._guard:
            self._whole = False
            held = list(self._open)
        for end in held:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        """Carries new connections again."""
        with self._guard:
            self._whole = True

    def __enter__(self) -> Link:
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target), 10) as far:
            with self._guard:
                if not self._whole:
                    return
                self._open |= {near, far}
            back = threading.Thread(target=self._pump, args=(far, near), daemon=True)
            back.start()
            self._pump(near, far)
            back.join()
            with self._guard:
                self._open -= {near, far}

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while content := source.recv(CHUNK):
                if self.bytes_per_s is not None:
                    time.sleep(len(content) / self.bytes_per_s)
                # Before it is sent: who reads it may look at once.
                with self._guard:
                    self.carried += len(content)
                sink.sendall(content)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
