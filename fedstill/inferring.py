"""A federation's first draft from records alone: what ``fedstill init`` writes down, and ``fedstill distill`` uses at once."""

from __future__ import annotations

from pathlib import Path

from shared.config import CsvData, FederationConfig, ImageFolderData, SplitSettings
from shared.errors import ConfigError, MissingFileError
from shared.files import read_bytes
from shared.frozen import Frozen
from shared.task import Task


class Hints(Frozen):
    """What the records do not say by themselves. ``text`` and ``tokenizer`` are for texts, ``sites`` deals the records."""

    label: str = "label"
    text: str | None = None
    tokenizer: Path | None = None
    unlabelled: bool = False
    site_column: str | None = None
    sites: int | None = None


def infer_federation(data: Path, hints: Hints) -> FederationConfig:
    """The federation that a CSV file or a folder of images suggests, with the settings measured for records of its kind.

    Raises :class:`ConfigError` for hints that do not fit together and :class:`DataError` for records that cannot be read.
    """
    from shared.data.naming import institution_name
    from shared.models.presets import preset

    if hints.site_column is not None and hints.sites is not None:
        raise ConfigError("--site-column and --sites exclude each other: the first says what the sites are, the second deals them")
    if not data.exists():
        raise MissingFileError(f"{data} is not there; give a CSV file or a folder of images")
    if (hints.text is None) != (hints.tokenizer is None) or (hints.text is not None and data.is_dir()):
        raise ConfigError("--text and --tokenizer belong together, and to a CSV file: give both, or neither")
    source = _source(data, hints)
    task, tokenizer = _task(source, hints)
    split = SplitSettings(sites=hints.sites)
    name = institution_name(data.absolute().stem) or "federation"
    return FederationConfig(name=name, task=task, data=source, split=split, tokenizer_path=tokenizer, **preset(task))


def _source(data: Path, hints: Hints) -> CsvData | ImageFolderData:
    if data.is_dir():
        return ImageFolderData(source="images", path=data.absolute())
    return CsvData(source="csv", path=data.absolute(), site_column=hints.site_column, unlabelled=hints.unlabelled)


def _task(source: CsvData | ImageFolderData, hints: Hints) -> tuple[Task, Path | None]:
    from shared.data import infer_task, infer_text_task
    from shared.data.text import tokeniser_file
    from shared.tokenise import Tokeniser

    if hints.text is None or hints.tokenizer is None or not isinstance(source, CsvData):
        return infer_task(source, hints.label), None
    file = tokeniser_file(hints.tokenizer).absolute()
    return infer_text_task(source, hints.text, hints.label, Tokeniser(read_bytes(file, what="tokeniser"))), file
