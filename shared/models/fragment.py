"""A fragment of a student: the parameters whose names match patterns, as ranges of its vector, and trained alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase

from torch import nn

from shared.errors import ConfigError

Ranges = tuple[tuple[int, int], ...]


def fragment_ranges(model: nn.Module, patterns: Sequence[str]) -> Ranges:
    """Where the matching parameters lie in :func:`shared.models.vector.to_vector`: half-open ranges, in order and apart.

    Patterns are those of a shell (``blocks.0.*``). Raises :class:`ConfigError` for a pattern that matches nothing.
    """
    names = [name for name, parameter in sorted(model.named_parameters()) if parameter.requires_grad]
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(f"the fragment '{pattern}' matches none of the student's parameters, such as '{names[0]}' or '{names[-1]}'")
    ranges: list[tuple[int, int]] = []
    start = 0
    for name in names:
        stop = start + model.get_parameter(name).numel()
        if _matches(name, patterns):
            first = ranges.pop()[0] if ranges and ranges[-1][1] == start else start
            ranges.append((first, stop))
        start = stop
    return tuple(ranges)


@contextmanager
def only_fragment(model: nn.Module, patterns: Sequence[str] | None) -> Iterator[None]:
    """Inside, only the matching parameters are trainable; afterwards all that were. ``None``: everything."""
    frozen = [] if patterns is None else [parameter for name, parameter in model.named_parameters() if not _matches(name, patterns)]
    frozen = [parameter for parameter in frozen if parameter.requires_grad]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
