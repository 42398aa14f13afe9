"""Where records are, and how a site's are split: the sources that configurations name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from shared.frozen import Frozen
from shared.transaction_links import TransactionLinks


class BuiltinData(Frozen):
    """A data set inside the package: ``heart`` (4 hospitals) or ``digits`` (5 sites, seeded Dirichlet split)."""

    source: Literal["heart", "digits"]


class CsvData(Frozen):
    """One CSV file with a column that names each row's site (simulation), or one file of one site (institution).

    With ``unlabelled``, rows may have no label: they are learnt from by the teacher's answers alone, and never held out. With
    ``transactions`` each institution links its own rows by their ids.
    """

    source: Literal["csv"]
    path: Path
    site_column: str | None = None
    missing: tuple[str, ...] = ("", "?", "NA", "NaN", "nan")
    unlabelled: bool = False
    transactions: TransactionLinks | None = None


class ImageFolderData(Frozen):
    """A folder of images: ``path/SITE/LABEL/*.png`` (simulation) or ``path/LABEL/*.png`` (institution).

    With ``sites`` the folder is ``path/LABEL/*.png`` and is dealt to that many sites by a seeded Dirichlet split.
    """

    source: Literal["images"]
    path: Path


class ArrayData(Frozen):
    """A ``.npz`` of arrays ``inputs`` and ``labels``, in the task's raw form (no pickles), or a folder ``path/SITE.npz`` (simulation).

    ``test_inputs`` and ``test_labels``, if the file has them, are the held-out records; else some are held out by ``split``.
    Of text tasks ``texts`` and ``test_texts`` may hold the strings. With ``unlabelled``, the label -1 is none, as in a CSV file.
    """

    source: Literal["arrays"]
    path: Path
    unlabelled: bool = False


class SplitSettings(Frozen):
    """How records become sites and held-out records. ``sites`` deals one pool to that many sites (Dirichlet ``alpha``)."""

    test_fraction: float = Field(default=0.34, gt=0.0, lt=1.0)
    sites: int | None = Field(default=None, ge=2, le=1000)
    alpha: float = Field(default=0.5, gt=0.0, le=1e6)


DataSource = Annotated[BuiltinData | CsvData | ImageFolderData | ArrayData, Field(discriminator="source")]
