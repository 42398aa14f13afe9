"""The process: what it may listen on, TLS, how it stops, and that nothing but the edge's packages is in it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from client.edge.batching import Limits
from client.edge.installed import install, rollback
from client.edge.server import EdgeOptions, Tls, check, parse_address, serve
from shared.compress.verify import predict
from shared.errors import ConfigError, DeploymentError
from shared.rpc import edge_pb2 as pb
from shared.rpc.services import EDGE, Stub
from tests.support.edge import PUBLIC, Gate, make_artifact, running, table_request, table_rows, until

ROOT = Path(__file__).parents[3]
ONLY_THE_EDGE = """
import sys

class OnlyTheEdge:
    allowed = {"numpy", "onnxruntime", "cryptography", "grpc", "client", "shared",
               "cffi", "flatbuffers", "google", "packaging", "typing_extensions"}  # what these four bring with them

    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root not in self.allowed and root not in sys.stdlib_module_names and not root.startswith("_"):
            raise ImportError(f"{name} is not on this device")

sys.meta_path.insert(0, OnlyTheEdge())
from client.edge.command import main
try:
    main(sys.argv[1:])
finally:
    heavy = {"torch", "onnx", "pydantic", "typer", "rich", "flwr", "transformers", "sklearn"} & set(sys.modules)
    mapped = [name for name in ("libtorch", "torch/lib") if name in open("/proc/self/maps").read()]
    sys.stderr.write(f"left behind: {sorted(heavy)} {mapped}\\n")
"""


@contextmanager
def process(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The real command in a process without any package but the edge's, and what it printed once it was ready."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-W", "error", "-c", ONLY_THE_EDGE, *arguments, "--json"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as started:
        try:
            assert started.stdout is not None
            line = started.stdout.readline()
            assert line, started.communicate()[1]
            yield started, json.loads(line)
        finally:
            started.kill()


def line_of(started: subprocess.Popen[str], beginning: str) -> str:
    """The next line on stderr that begins so."""
    assert started.stderr is not None
    for line in started.stderr:
        if line.startswith(beginning):
            return line
    raise AssertionError(f"no line begins with {beginning!r}")


def test_the_real_process_needs_the_edge_s_packages_alone_and_follows_an_installation(tmp_path: Path) -> None:
    folders = [make_artifact(tmp_path / str(version), version) for version in (1, 2)]
    home, rows = tmp_path / "home", table_rows(9)
    install(folders[0], home, PUBLIC)
    with process("serve", str(home), "--listen", "127.0.0.1:0") as (started, ready):
        assert ready["version"] == 1
        with grpc.insecure_channel(ready["listening"]) as channel:
            ask = Stub(channel, EDGE).call("Predict")

            def labels() -> list[int]:
                reply = ask(table_request(rows), timeout=60)
                return [("well", "ill", "unsure").index(entry.label) for entry in reply.predictions]

            assert labels() == predict(folders[0], rows).labels.tolist()
            install(folders[1], home)
            started.send_signal(signal.SIGHUP)
            line_of(started, "now serving version 2")
            assert labels() == predict(folders[1], rows).labels.tolist()
            rollback(home)
            line_of(started, "rolled back to version 1")
            assert labels() == predict(folders[0], rows).labels.tolist()
        started.send_signal(signal.SIGTERM)
        _, errors = started.communicate(timeout=60)
        assert started.returncode == 0
        assert "stopping" in errors
        assert "left behind: [] []" in errors


def whole(extras: dict[str, list[str]], name: str) -> set[str]:
    """All packages of an extra, those of the extras that it names too."""
    named = [found.group(1) for requirement in extras[name] if (found := re.fullmatch(r"fedstill\[(.+)\]", requirement))]
    return set(extras[name]).union(*(whole(extras, other) for names in named for other in names.split(",")))


def test_a_device_installs_four_packages_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {re.split("[<>=]", requirement)[0] for requirement in project["dependencies"]}
    assert names == {"numpy", "onnxruntime", "cryptography", "grpcio"}
    assert project["optional-dependencies"]["edge"] == project["dependencies"]
    assert set(project["dependencies"]) <= whole(project["optional-dependencies"], "federation")


def test_ctrl_c_ends_with_its_own_code(tmp_path: Path) -> None:
    with process("serve", str(make_artifact(tmp_path / "a")), "--key", PUBLIC.hex(), "--listen", "127.0.0.1:0") as (started, _):
        started.send_signal(signal.SIGINT)
        started.communicate(timeout=60)
        assert started.returncode == 130


def test_a_stop_answers_what_was_taken_and_refuses_what_comes(tmp_path: Path) -> None:
    async def scene() -> None:
        folder = make_artifact(tmp_path / "a")
        async with running(folder, EdgeOptions(listen="127.0.0.1:0", drain_s=200.0)) as server:
            gate = Gate(server.server.current.model)
            # The first alone: those that come before the model is busy would run with it, and not wait.
            taken = [asyncio.create_task(server.predict(table_request(table_rows(2, 0))))]
            await gate.entered()
            taken += [asyncio.create_task(server.predict(table_request(table_rows(2, number)))) for number in range(1, 5)]
            await until(lambda: server.server.batcher.rows_waiting == 8)
            stopping = asyncio.create_task(server.server.stop())
            await asyncio.sleep(0)
            for _ in range(3):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await server.predict(table_request(table_rows(1)))
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
            assert not stopping.done()
            gate.open()
            for number, task in enumerate(taken):
                found = np.array([entry.probabilities for entry in (await task).predictions], np.float32)
                np.testing.assert_array_equal(found, predict(folder, table_rows(2, number)).probabilities)
            await stopping

    asyncio.run(scene())


def test_tls_and_clients_that_must_prove_themselves(tmp_path: Path) -> None:
    from tests.support.certificates import make_pair

    certificate, key = make_pair(tmp_path, "localhost")
    stranger, stranger_key = make_pair(tmp_path / "stranger", "localhost")

    async def ask(address: str, credentials: Any) -> int:
        async with grpc.aio.secure_channel(f"localhost:{address.rpartition(':')[2]}", credentials) as channel:
            info = await Stub(channel, EDGE).call("ModelInfo")(pb.ModelInfoRequest(), timeout=60)
            return int(info.version)

    async def scene() -> None:
        options = EdgeOptions(listen="127.0.0.1:0", tls=Tls(certificate, key, client_ca=certificate), metrics_port=0)
        async with running(make_artifact(tmp_path / "a", 4), options) as server:
            trusted, own = certificate.read_bytes(), (key.read_bytes(), certificate.read_bytes())
            assert await ask(server.listening, grpc.ssl_channel_credentials(trusted, *own)) == 4
            for credentials in (
                grpc.ssl_channel_credentials(trusted),
                grpc.ssl_channel_credentials(trusted, stranger_key.read_bytes(), stranger.read_bytes()),
                grpc.ssl_channel_credentials(stranger.read_bytes(), *own),
            ):
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await ask(server.listening, credentials)
                assert caught.value.code() == grpc.StatusCode.UNAVAILABLE

    asyncio.run(scene())


def test_a_taken_address_is_refused(tmp_path: Path) -> None:
    async def scene() -> None:
        folder = make_artifact(tmp_path / "a")
        async with running(folder) as server:
            with pytest.raises(DeploymentError, match="give another with --listen"):
                async with running(folder, EdgeOptions(listen=server.listening)):
                    raise AssertionError("two servers on one port")

    asyncio.run(scene())


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.7", "edge.example.org"])
def test_beyond_loopback_there_is_tls_or_a_word(host: str) -> None:
    with pytest.raises(ConfigError, match="--insecure"):
        check(EdgeOptions(listen=f"{host}:50051"))
    check(EdgeOptions(listen=f"{host}:50051", insecure=True))
    check(EdgeOptions(listen=f"{host}:50051", tls=Tls(Path("c"), Path("k"))))


def test_options_that_do_not_go_together_are_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    for host in ("127.0.0.1", "[::1]", "localhost", "127.9.9.9"):
        check(EdgeOptions(listen=f"{host}:0"))
    for limits in (Limits(batch=0), Limits(batch=9, queue=8)):
        with pytest.raises(ConfigError, match="--max-batch"):
            serve(tmp_path / "nothing", None, EdgeOptions(limits=limits), lambda _: None)


@pytest.mark.parametrize("text", ["", "127.0.0.1", ":50051", "host:", "host:x", "host:65536", "host:-1", "host:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    assert parse_address("[::1]:50051") == ("[::1]", 50051)
    with pytest.raises(ConfigError, match="give HOST:PORT"):
        parse_address(text)
