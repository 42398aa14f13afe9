"""gRPC services from their descriptors: what a servicer answers and how a client calls, without generated stubs.

Generated stubs would pin the gRPC package to the generator's own version, and import their messages from outside this package.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from shared.rpc import artifacts_pb2, edge_pb2, enrolment_pb2, health_pb2, runs_pb2


def _service(file: Any, name: str) -> ServiceDescriptor:
    described: FileDescriptor = file
    found: ServiceDescriptor = described.services_by_name[name]
    return found


EDGE = _service(edge_pb2.DESCRIPTOR, "Edge")
HEALTH = _service(health_pb2.DESCRIPTOR, "Health")
ENROLMENT = _service(enrolment_pb2.DESCRIPTOR, "Enrolment")
RUNS = _service(runs_pb2.DESCRIPTOR, "Runs")
ARTIFACTS = _service(artifacts_pb2.DESCRIPTOR, "Artifacts")
HEALTH_NAME = "grpc.health.v1.Health"
"""The name under which the health service is served: that of the standard, not that of its descriptor."""


def handlers(service: ServiceDescriptor, servicer: object, name: str | None = None, *, methods: Collection[str] | None = None) -> Any:
    """What a gRPC server adds: each method of ``service`` answered by the servicer's method of that name.

    ``name``: under which the service is served, where it is not the descriptor's. ``methods``: those that are served, if not all; the
    others are UNIMPLEMENTED.
    """
    found = {}
    for method in service.methods:
        if methods is not None and method.name not in methods:
            continue
        make = getattr(grpc, f"{_kind(method)}_rpc_method_handler")
        found[method.name] = make(
            getattr(servicer, method.name), request_deserializer=_parser(method.input_type), response_serializer=_written
        )
    return grpc.method_handlers_generic_handler(name or service.full_name, found)


class Stub:
    """A client's side: ``Stub(channel, EDGE).call("Predict")(request)``; the channel may be a plain or an asyncio one."""

    def __init__(self, channel: Any, service: ServiceDescriptor, name: str | None = None) -> None:
        self._channel, self._service, self._name = channel, service, name or service.full_name

    def call(self, name: str) -> Callable[..., Any]:
        """The method ``name``; raises :class:`KeyError` where the service has none."""
        method = self._service.methods_by_name[name]
        made: Callable[..., Any] = getattr(self._channel, _kind(method))(
            f"/{self._name}/{name}", request_serializer=_written, response_deserializer=_parser(method.output_type)
        )
        return made


def _kind(method: Any) -> str:
    return f"{'stream' if method.client_streaming else 'unary'}_{'stream' if method.server_streaming else 'unary'}"


def _parser(message: Any) -> Callable[[bytes], Message]:
    parse: Callable[[bytes], Message] = GetMessageClass(message).FromString
    return parse


def _written(message: Message) -> bytes:
    return message.SerializeToString()
