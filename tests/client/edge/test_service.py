"""The service over loopback, with a real artifact: answers are those of ``verify.predict``, bit for bit, whatever happens around them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from client.edge.batching import Limits
from client.edge.installed import VERSIONS, install, rollback
from client.edge.server import EdgeOptions
from client.edge.service import STREAM_AHEAD
from shared.compress.verify import Artifact, open_artifact
from shared.rpc import edge_pb2 as pb
from shared.task import Head
from tests.support.edge import IMAGES, PUBLIC, TABLE, Gate, Running, make_artifact, running, table_request, table_rows, until
from tests.support.texts import messages, text_task

LOOPBACK = "127.0.0.1:0"


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_artifact(tmp_path_factory.mktemp("edge") / "artifact", 3)


def small(batch: int = 4, queue: int = 4) -> EdgeOptions:
    return EdgeOptions(listen=LOOPBACK, limits=Limits(batch=batch, queue=queue))


def assert_equal(reply: pb.PredictReply, artifact: Artifact, rows: Any, head: str | None = None) -> None:
    """The reply has the very bits that the artifact itself gives for these rows alone."""
    expected, span = artifact.predict(rows, head), artifact.span(head) if head else slice(None)
    labels = artifact.manifest["task"]["labels"]
    assert list(reply.labels) == labels[span]
    assert [entry.label for entry in reply.predictions] == [labels[index] for index in expected.labels]
    given = np.array([entry.probabilities for entry in reply.predictions], np.float32)
    assert given.tobytes() == np.ascontiguousarray(expected.probabilities[:, span]).tobytes()


async def status_of(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


@pytest.mark.parametrize("wait_s", [0.0, 0.02])
def test_hundreds_of_requests_at_once_get_the_bits_of_one_alone(artifact: Path, wait_s: float) -> None:
    async def scene() -> None:
        opened = open_artifact(artifact)
        asked = [table_rows(1 + number % 7, number) for number in range(300)]
        async with running(artifact, EdgeOptions(listen=LOOPBACK, limits=Limits(batch=64, queue=4096, wait_s=wait_s))) as server:
            replies = await asyncio.gather(*(server.predict(table_request(rows, str(number))) for number, rows in enumerate(asked)))
            for number, (rows, reply) in enumerate(zip(asked, replies, strict=True)):
                assert (reply.request_id, reply.model_version, reply.model_digest) == (str(number), 3, opened.digest)
                assert_equal(reply, opened, rows)
            # Without waiting, a quick model on one core answers each request before the next one is read.
            assert wait_s == 0.0 or server.server.batcher.batches < len(asked)

    asyncio.run(scene())


def test_images_are_answered_and_heads_are_kept_to(tmp_path: Path) -> None:
    async def scene() -> None:
        pixels = np.random.default_rng(3).integers(0, 256, (5, 4, 4, 1), dtype=np.uint8)
        images = pb.Images(pixels=pixels.tobytes(), count=5, height=4, width=4, channels=1)
        async with running(make_artifact(tmp_path / "images", task=IMAGES)) as server:
            assert_equal(await server.predict(pb.PredictRequest(images=images)), open_artifact(tmp_path / "images"), pixels)
        heads = (Head(name="first", labels=TABLE.labels[:2]), Head.model_construct(name="rest", labels=TABLE.labels[2:]))
        task = TABLE.model_copy(update={"heads": heads})
        rows = table_rows(20)
        async with running(make_artifact(tmp_path / "heads", task=task)) as server:
            reply = await server.predict(table_request(rows, head="first"))
            assert_equal(reply, open_artifact(tmp_path / "heads"), rows, "first")
            code, text = await status_of(server.predict(table_request(rows, head="steel")))
            assert (code, "no head 'steel'" in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)

    asyncio.run(scene())


def test_texts_of_any_length_get_the_bits_of_one_alone(tmp_path: Path) -> None:
    async def scene() -> None:
        folder = make_artifact(tmp_path / "texts", task=text_task())
        opened = open_artifact(folder)
        texts = [[text for text, _ in messages(1 + number % 3, seed=number)] for number in range(60)]
        texts[0] = ["", "words that nobody has seen"]
        async with running(folder) as server:
            asked = [pb.PredictRequest(texts=pb.Texts(texts=request)) for request in texts]
            for request, reply in zip(texts, await asyncio.gather(*map(server.predict, asked)), strict=True):
                assert_equal(reply, opened, opened.encode(request))
            ids = opened.encode(texts[7])
            rows = pb.TokenRows(rows=[pb.TokenRow(ids=row[row != 0].tolist()) for row in ids])
            assert_equal(await server.predict(pb.PredictRequest(tokens=rows)), opened, ids)

    asyncio.run(scene())


def test_a_swap_under_load_loses_no_request_and_mixes_no_answer(tmp_path: Path) -> None:
    async def scene() -> None:
        folders = {version: make_artifact(tmp_path / str(version), version) for version in (1, 2)}
        opened = {version: open_artifact(folder) for version, folder in folders.items()}
        install(folders[1], tmp_path / "home", PUBLIC)
        asked = [table_rows(1 + number % 3, number) for number in range(400)]
        replies: dict[int, pb.PredictReply] = {}
        async with running(tmp_path / "home") as server:

            async def ask(numbers: range) -> None:
                for number in numbers:
                    replies[number] = await server.predict(table_request(asked[number], str(number)))

            asking = [asyncio.create_task(ask(range(start, 400, 16))) for start in range(16)]
            await until(lambda: len(replies) >= 100)
            await asyncio.to_thread(install, folders[2], tmp_path / "home")
            await server.look()
            await asyncio.gather(*asking)
            last = await server.predict(table_request(asked[0]))
            assert last.model_version == 2
        assert sorted(replies) == list(range(400))
        for number, reply in replies.items():
            assert reply.model_digest == opened[reply.model_version].digest
            assert_equal(reply, opened[reply.model_version], asked[number])
        assert Counter(reply.model_version for reply in replies.values())[1] >= 100
        assert server.said == [f"now serving version 2 ({opened[2].digest[:12]}), before: 1"]

    asyncio.run(scene())


def test_who_was_taken_before_a_swap_is_answered_by_the_model_of_then(tmp_path: Path) -> None:
    async def scene() -> None:
        folders = {version: make_artifact(tmp_path / str(version), version) for version in (1, 2)}
        install(folders[1], tmp_path / "home", PUBLIC)
        rows = table_rows(2)
        async with running(tmp_path / "home") as server:
            gate = Gate(server.server.current.model)
            taken = [asyncio.create_task(server.predict(table_request(rows, "0")))]
            await gate.entered()
            taken += [asyncio.create_task(server.predict(table_request(rows, str(number)))) for number in range(1, 3)]
            await until(lambda: server.server.batcher.rows_waiting == 4)
            install(folders[2], tmp_path / "home")
            await server.look()
            new = asyncio.create_task(server.predict(table_request(rows)))
            await until(lambda: server.server.batcher.rows_waiting == 6)
            gate.open()
            assert [(await task).model_version for task in (*taken, new)] == [1, 1, 1, 2]
            assert_equal(await new, open_artifact(folders[2]), rows)
            assert_equal(await taken[2], open_artifact(folders[1]), rows)

    asyncio.run(scene())


def test_a_damaged_version_leaves_the_old_one_serving_and_says_so(tmp_path: Path) -> None:
    async def scene() -> None:
        install(make_artifact(tmp_path / "1", 1), tmp_path / "home", PUBLIC)
        async with running(tmp_path / "home", EdgeOptions(listen=LOOPBACK, metrics_port=0)) as server:
            installed = install(make_artifact(tmp_path / "2", 2), tmp_path / "home")
            # The file changes before the server looks: its own verification must notice.
            model = tmp_path / "home" / VERSIONS / installed.current.digest / "model.onnx"
            content = bytearray(model.read_bytes())
            content[len(content) // 2] ^= 1
            model.write_bytes(content)
            await server.look()
            assert (await server.predict(table_request(table_rows(1)))).model_version == 1
            info = await server.call("ModelInfo")(pb.ModelInfoRequest())
            assert info.version == 1
            assert "is not the file that was signed" in info.refused
            assert "version 1 goes on serving" in server.said[0]
            assert "fedstill_edge_refusals_total 1" in server.server.service.exposition()
            rollback(tmp_path / "home")
            server.server.look()
            await until(lambda: not server.server.current.refused)

    asyncio.run(scene())


def test_a_full_queue_refuses_and_the_taken_are_answered(artifact: Path) -> None:
    async def scene() -> None:
        async with running(artifact, small()) as server:
            gate = Gate(server.server.current.model)
            first = asyncio.create_task(server.predict(table_request(table_rows(1))))
            await gate.entered()
            taken = [asyncio.create_task(server.predict(table_request(table_rows(2, number)))) for number in range(2)]
            await until(lambda: server.server.batcher.rows_waiting == 4)
            code, text = await status_of(server.predict(table_request(table_rows(1))))
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "4 rows wait" in text
            gate.open()
            opened = open_artifact(artifact)
            assert_equal(await first, opened, table_rows(1))
            for number, task in enumerate(taken):
                assert_equal(await task, opened, table_rows(2, number))
            assert_equal(await server.predict(table_request(table_rows(1))), opened, table_rows(1))
            assert server.server.service.metrics.requests == {"OK": 4, "RESOURCE_EXHAUSTED": 1}

    asyncio.run(scene())


def test_a_deadline_that_passes_in_the_queue_is_not_computed(artifact: Path) -> None:
    async def scene() -> None:
        async with running(artifact) as server:
            gate, service = Gate(server.server.current.model), server.server.service
            first = asyncio.create_task(server.predict(table_request(table_rows(1))))
            await gate.entered()
            timeout = 0.1
            while not service.metrics.requests["DEADLINE_EXCEEDED"]:  # on a busy machine it may pass before the server has heard of it
                code, _ = await status_of(server.predict(table_request(table_rows(3)), timeout=timeout))
                assert code == grpc.StatusCode.DEADLINE_EXCEEDED
                timeout *= 2
            gate.open()
            await first
            await server.predict(table_request(table_rows(2)))
            assert [len(rows) for rows in gate.ran] == [1, 2]

    asyncio.run(scene())


def test_bad_rows_fail_alone_in_a_stream_that_goes_on(artifact: Path) -> None:
    async def scene() -> None:
        bad = pb.PredictRequest(request_id="bad", table=pb.Table(rows=[pb.Row(values=[pb.Value(number=1.0)])]))

        async def asked() -> AsyncIterator[pb.PredictRequest]:
            for number in range(3 * STREAM_AHEAD):
                yield bad if number == 5 else table_request(table_rows(2, number), str(number))

        async with running(artifact, EdgeOptions(listen=LOOPBACK, limits=Limits(batch=8, queue=1024))) as server:
            replies = [reply async for reply in server.call("PredictStream")(asked())]
        opened = open_artifact(artifact)
        assert len(replies) == 3 * STREAM_AHEAD
        for number, reply in enumerate(replies):
            if number == 5:
                assert reply.failure.request_id == "bad"
                assert reply.failure.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
                assert "record 1 must hold 3 values" in reply.failure.message
            else:
                assert reply.reply.request_id == str(number)
                assert_equal(reply.reply, opened, table_rows(2, number))

    asyncio.run(scene())


def test_a_stream_is_not_read_further_than_it_is_answered(artifact: Path) -> None:
    async def scene() -> None:
        async def asked() -> AsyncIterator[pb.PredictRequest]:
            for _ in range(10 * STREAM_AHEAD):
                yield table_request(table_rows(1))

        async with running(artifact) as server:
            gate, metrics = Gate(server.server.current.model), server.server.service.metrics
            call = server.call("PredictStream")(asked())
            await gate.entered()
            await until(lambda: server.server.batcher.rows_waiting >= STREAM_AHEAD)
            assert server.server.batcher.rows_waiting <= STREAM_AHEAD + 1
            call.cancel()
            await until(lambda: server.server.batcher.rows_waiting == 0)
            await until(lambda: metrics.requests["CANCELLED"] > STREAM_AHEAD)
            gate.open()
            await server.predict(table_request(table_rows(2)))
            assert [len(rows) for rows in gate.ran] == [1, 2]

    asyncio.run(scene())


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (pb.PredictRequest(), "no records"),
        (table_request(table_rows(5)), "1 to 4 records"),
        (table_request(table_rows(1), "x" * 201), "at most 200 characters"),
        (pb.PredictRequest(images=pb.Images(pixels=b"abc", count=1)), "the request has images"),
    ],
)
def test_requests_that_do_not_fit_are_invalid_in_one_sentence(artifact: Path, request_: pb.PredictRequest, reason: str) -> None:
    async def scene() -> None:
        async with running(artifact, small()) as server:
            code, text = await status_of(server.predict(request_))
            assert (code, reason in text) == (grpc.StatusCode.INVALID_ARGUMENT, True)
            assert_equal(await server.predict(table_request(table_rows(1))), open_artifact(artifact), table_rows(1))

    asyncio.run(scene())


def test_garbage_and_too_large_messages_do_no_harm(artifact: Path) -> None:
    async def scene() -> None:
        options = EdgeOptions(listen=LOOPBACK, largest_message=4096)
        async with running(artifact, options) as server:
            raw = server.channel.unary_unary("/fedstill.v1.Edge/Predict")
            for content in (b"\xff" * 100, b"\x1a\xff\xff\xff\xff\x0f"):
                code, _ = await status_of(raw(content))
                assert code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
            code, _ = await status_of(raw(bytes(5000)))
            assert code == grpc.StatusCode.RESOURCE_EXHAUSTED
            code, _ = await status_of(server.channel.unary_unary("/fedstill.v1.Edge/Nothing")(b""))
            assert code == grpc.StatusCode.UNIMPLEMENTED
            assert_equal(await server.predict(table_request(table_rows(1))), open_artifact(artifact), table_rows(1))

    asyncio.run(scene())


def test_a_large_request_is_read_beside_the_event_loop_to_the_same_bits(artifact: Path) -> None:
    async def scene(server: Running) -> None:
        rows = table_rows(4000)
        request = table_request(rows)
        assert request.ByteSize() > 2**16
        assert_equal(await server.predict(request), open_artifact(artifact), rows)

    async def whole() -> None:
        async with running(artifact, small(4096, 4096)) as server:
            await scene(server)

    asyncio.run(whole())


def test_what_the_model_cannot_compute_is_an_internal_error(artifact: Path) -> None:
    async def scene() -> None:
        async with running(artifact) as server:
            model = server.server.current.model
            logits = model.artifact.logits

            def broken(inputs: Any) -> Any:
                raise RuntimeError("out of everything")

            model.artifact.logits = broken  # type: ignore[method-assign]
            code, text = await status_of(server.predict(table_request(table_rows(1))))
            assert (code, text) == (grpc.StatusCode.INTERNAL, "the model could not compute the records")
            model.artifact.logits = logits  # type: ignore[method-assign]
            await server.predict(table_request(table_rows(1)))

    asyncio.run(scene())


def test_model_info_is_what_the_manifest_says(artifact: Path) -> None:
    async def scene() -> None:
        async with running(artifact, small(512, 512)) as server:
            await server.predict(table_request(table_rows(300)))
            info = await server.call("ModelInfo")(pb.ModelInfoRequest())
        opened = open_artifact(artifact)
        assert (info.version, info.digest, info.signer) == (3, opened.digest, PUBLIC.hex())
        assert list(info.labels) == ["well", "ill", "unsure"]
        assert [(column.name, column.kind, list(column.categories)) for column in info.inputs.columns] == [
            ("age", "numeric", []), ("dose", "numeric", []), ("risk", "categorical", ["low", "middle", "high"]),
        ]  # fmt: skip
        assert (info.gate.records, info.gate.accuracy, info.gate.float_accuracy) == (10, 0.8, 0.9)
        assert (info.run, info.refused) == ("run-3", "")
        age, _, risk = info.inputs_seen
        assert age.HasField("mean_difference")
        assert not risk.HasField("mean")
        assert sum(risk.category_shares.values()) == pytest.approx(1.0)

    asyncio.run(scene())
