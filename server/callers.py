"""Who calls the API: the name in a certificate that our CA made, that TLS has checked, and that is in force now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import grpc

from server.membership import Membership, NotInvitedError, peer_of
from server.provision import UnfitError
from shared.errors import ArtifactError, MissingFileError

MOST_STREAMS = 4
"""Streams that one institution may have open at a time."""
_LOG = logging.getLogger("fedstill.api")
_T = TypeVar("_T")


class NotThereError(MissingFileError):
    """What a caller asks for is not there (yet); the sentence is for the caller."""


class Callers:
    """Knows the callers of one coordinator's API."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._streams: Counter[str] = Counter()

    async def member(self, context: Any) -> str:
        """The caller's name. Aborts with UNAUTHENTICATED without a certificate, with PERMISSION_DENIED if it is not in force."""
        presented = context.auth_context().get("x509_pem_cert") or []
        peer = peer_of(presented[0]) if presented else None
        if peer is None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this call needs an institution's certificate: join first")
            raise AssertionError("abort raises")
        if not await told(context, self._membership.admits, *peer):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "this certificate is not in force: it was revoked, or never issued here")
        return peer[0]

    @contextlib.asynccontextmanager
    async def streaming(self, name: str, context: Any) -> AsyncIterator[None]:
        """Counts a stream of ``name`` for as long as the block runs; aborts with RESOURCE_EXHAUSTED if it has too many."""
        if self._streams[name] >= MOST_STREAMS:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"at most {MOST_STREAMS} streams at a time: end one first")
        self._streams[name] += 1
        try:
            yield
        finally:
            self._streams[name] -= 1


async def told(context: Any, work: Callable[..., _T], *arguments: Any) -> _T:
    """What ``work`` returns, in a thread. What the caller can mend becomes a status and a sentence; anything else is INTERNAL.

    Other errors name files of this machine, which are none of a caller's business.
    """
    try:
        return await asyncio.to_thread(work, *arguments)
    except NotInvitedError as error:
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, str(error))
    except NotThereError as error:
        await context.abort(grpc.StatusCode.NOT_FOUND, str(error))
    except (UnfitError, ArtifactError) as error:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
    except Exception:
        _LOG.exception("a call failed")
        await context.abort(grpc.StatusCode.INTERNAL, "the coordinator could not do this; its operator finds the cause in its log")
    raise AssertionError("abort raises")
