"""Files that may be packed with gzip: ``graph.tsv`` and ``graph.tsv.gz`` are one kind of file."""

from __future__ import annotations

import gzip
from pathlib import Path


def plain_suffix(path: Path) -> str:
    """The suffix that says what a file holds, in lower case: ``.tsv`` of ``a.tsv`` and of ``a.TSV.gz``."""
    return (path.with_suffix("") if path.suffix.lower() == ".gz" else path).suffix.lower()


def packed(path: Path, content: bytes) -> bytes:
    """``content`` as ``path`` is to hold it: packed where its name ends in ``.gz``, without a date, so equal content is equal bytes."""
    return gzip.compress(content, mtime=0) if path.suffix.lower() == ".gz" else content
