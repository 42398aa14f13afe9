"""The base of every typed value that crosses a file or a wire: frozen, strict about unknown keys, canonical bytes."""

from __future__ import annotations

import json
from typing import Self

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A frozen pydantic model; an unknown key is an error and NaN is not a number."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def canonical(self) -> bytes:
        """The one JSON encoding of this value (sorted keys, no spaces): what is hashed and signed."""
        return json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """The value that ``content`` (JSON) holds; raises pydantic's ``ValidationError``."""
        return cls.model_validate_json(content)
