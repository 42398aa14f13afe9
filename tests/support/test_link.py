from __future__ import annotations

import socket
import threading

from tests.support.link import Link


def echo(listener: socket.socket) -> None:
    while True:
        try:
            peer, _ = listener.accept()
        except OSError:
            return
        with peer:
            try:
                while content := peer.recv(100):
                    peer.sendall(content)
            except OSError:
                pass


def answer(port: int) -> bytes:
    """What comes back over a new connection; nothing where it breaks."""
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as near:
            near.sendall(b"there")
            return near.recv(100)
    except OSError:
        return b""


def test_a_link_carries_breaks_and_is_mended() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, Link(listener.getsockname()[1]) as link:
        threading.Thread(target=echo, args=(listener,), daemon=True).start()
        with socket.create_connection(("127.0.0.1", link.port), 10) as near:
            near.sendall(b"there")
            assert near.recv(100) == b"there"
            link.cut()
            assert near.recv(100) == b"", "the connection that there was is broken"
        assert answer(link.port) == b"", "and so is every new one"
        link.mend()
        link.bytes_per_s = 1_000_000.0
        with socket.create_connection(("127.0.0.1", link.port), 10) as near:
            near.sendall(b"again")
            assert near.recv(100) == b"again"
    assert link.carried >= 20
