"""Services from their descriptors: names and kinds of methods are those of the proto files."""

from __future__ import annotations

from typing import Any

import pytest

from shared.rpc.services import EDGE, HEALTH, HEALTH_NAME, Stub, handlers


class Everything:
    def __getattr__(self, name: str) -> Any:
        return lambda request, context: name


class Details:
    def __init__(self, method: str) -> None:
        self.method, self.invocation_metadata = method, ()


@pytest.mark.parametrize(
    ("path", "streams"),
    [
        ("/fedstill.v1.Edge/Predict", (False, False)),
        ("/fedstill.v1.Edge/PredictStream", (True, True)),
        ("/fedstill.v1.Edge/ModelInfo", (False, False)),
        ("/grpc.health.v1.Health/Check", (False, False)),
        ("/grpc.health.v1.Health/Watch", (False, True)),
    ],
)
def test_every_method_has_its_handler(path: str, streams: tuple[bool, bool]) -> None:
    both = (handlers(EDGE, Everything()), handlers(HEALTH, Everything(), HEALTH_NAME))
    (found,) = (handler for one in both if (handler := one.service(Details(path))) is not None)
    assert (found.request_streaming, found.response_streaming) == streams


def test_a_servicer_must_have_every_method() -> None:
    with pytest.raises(AttributeError):
        handlers(EDGE, object())
    with pytest.raises(KeyError):
        Stub(None, EDGE).call("Nothing")


def test_what_is_not_served_has_no_handler() -> None:
    found = handlers(EDGE, Everything(), methods={"Predict"})
    assert found.service(Details("/fedstill.v1.Edge/Predict")) is not None
    assert found.service(Details("/fedstill.v1.Edge/ModelInfo")) is None
