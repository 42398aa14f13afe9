"""What a caller is told of an error, and what it is not."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from server.callers import MOST_STREAMS, Callers, NotThereError, told
from server.membership import Membership, NotInvitedError
from server.provision import UnfitError
from shared.errors import ArtifactError, MissingFileError


class Aborted(Exception):
    """What gRPC raises when a call is aborted."""


class Context:
    """A call without a certificate."""

    def __init__(self) -> None:
        self.told: tuple[grpc.StatusCode, str] | None = None

    def auth_context(self) -> dict[str, Any]:
        return {}

    async def abort(self, code: grpc.StatusCode, sentence: str) -> None:
        self.told = (code, sentence)
        raise Aborted


def aborted(work: Any) -> tuple[grpc.StatusCode, str]:
    context = Context()
    with pytest.raises(Aborted):
        asyncio.run(work(context))
    assert context.told is not None
    return context.told


def failing(error: Exception) -> Any:
    def work() -> None:
        raise error

    return lambda context: told(context, work)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotInvitedError("no"), grpc.StatusCode.PERMISSION_DENIED),
        (NotThereError("no"), grpc.StatusCode.NOT_FOUND),
        (UnfitError("no"), grpc.StatusCode.INVALID_ARGUMENT),
        (ArtifactError("no"), grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
def test_what_a_caller_can_mend_is_said(error: Exception, code: grpc.StatusCode) -> None:
    assert aborted(failing(error)) == (code, "no")


@pytest.mark.parametrize("error", [MissingFileError("/srv/keys/ca.key is gone"), OSError("/srv/keys/ca.key"), ValueError("/srv/keys")])
def test_files_of_the_coordinator_are_none_of_its_business(error: Exception) -> None:
    code, sentence = aborted(failing(error))
    assert code == grpc.StatusCode.INTERNAL
    assert "/srv" not in sentence


def test_what_went_well_is_given_back() -> None:
    assert asyncio.run(told(Context(), lambda number: number + 1, 1)) == 2


def test_without_a_certificate_nobody_is_a_member(tmp_path: Any) -> None:
    code, sentence = aborted(Callers(Membership(tmp_path)).member)
    assert code == grpc.StatusCode.UNAUTHENTICATED
    assert "join first" in sentence


def test_streams_are_counted_down_again_whatever_happens(tmp_path: Any) -> None:
    callers = Callers(Membership(tmp_path))

    async def breaks(context: Context) -> None:
        async with callers.streaming("va", context):
            raise Aborted

    async def nested(context: Context, depth: int) -> None:
        async with callers.streaming("va", context):
            if depth:
                await nested(context, depth - 1)

    for _ in range(3 * MOST_STREAMS):
        with pytest.raises(Aborted):
            asyncio.run(breaks(Context()))
    asyncio.run(nested(Context(), MOST_STREAMS - 1))
    assert aborted(lambda context: nested(context, MOST_STREAMS))[0] == grpc.StatusCode.RESOURCE_EXHAUSTED
