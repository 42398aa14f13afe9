"""A federation's first draft from records alone: what ``fedstill init`` writes down, and ``fedstill distill`` uses at once."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from shared.config import FederationConfig, check_config
from shared.errors import ConfigError, MissingFileError
from shared.files import read_bytes
from shared.frozen import Frozen
from shared.heads import spans
from shared.sources import CsvData, ImageFolderData, SplitSettings
from shared.task import ImageTask, Task

FEWEST_GROUPS = 2


class Hints(Frozen):
    """What the records do not say by themselves. ``text`` and ``tokenizer`` are for texts, ``sites`` deals the records, and
    ``head_column`` names the question that each row of a CSV file answers."""

    label: str = "label"
    text: str | None = None
    tokenizer: Path | None = None
    unlabelled: bool = False
    site_column: str | None = None
    sites: int | None = None
    head_column: str | None = None


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
    if hints.head_column is not None and data.is_dir():
        raise ConfigError(
            "--head-column is of a CSV file; write the heads of images into federation.toml, as its end says where sites differ"
        )
    source = _source(data, hints)
    task, tokenizer = _task(source, hints)
    split = SplitSettings(sites=hints.sites)
    name = institution_name(data.absolute().stem) or "federation"
    config = FederationConfig(name=name, task=task, data=source, split=split, tokenizer_path=tokenizer, **preset(task))
    return with_owners(config) if task.heads and (hints.sites or hints.site_column) else config


def with_owners(config: FederationConfig) -> FederationConfig:
    """The federation with ``head_owners`` as its records have them. Raises :class:`ConfigError` for a head of too few institutions."""
    from shared.data import load_sites

    labels = {name: set(np.concatenate([split.train.labels, split.test.labels]).tolist()) for name, split in load_sites(config).items()}
    places = zip(config.task.heads, spans(config.task.heads), strict=True)
    owners = {head.name: tuple(name for name in labels if labels[name] & set(range(place.start, place.stop))) for head, place in places}
    return check_config(FederationConfig, {**config.model_dump(), "head_owners": owners}, where="the heads of these records")


def suggested_heads(config: FederationConfig) -> str:
    """Lines of comments for the end of a federation.toml whose sites fall into groups without a label in common; else nothing.

    They are no settings: sites may also see other answers to one question.
    """
    from shared.data.headed import FEWEST_LABELS, groups, labels_by_site

    if config.task.heads or config.data is None or config.split.sites is not None:
        return ""
    found = groups(labels_by_site(config.data, getattr(config.task, "label", "")))
    if len(found) < FEWEST_GROUPS or any(len(group.labels) < FEWEST_LABELS for group in found):
        return ""
    named = {f"head-{place}": group for place, group in enumerate(found, start=1)}
    lines = [
        f"The sites fall into {len(found)} groups that share no label. If these are answers to different questions, let the student have",
        "a head for each: replace `labels` and `heads` in [task] by the first lines, and [head_owners] by the others. Each head needs",
        f"{config.aggregation.smallest_cohort} institutions (aggregation.smallest_cohort), or else lone_heads (docs/security.md).",
        "",
        f"labels = {_value([label for group in found for label in group.labels])}",
        "heads = [",
        *(f"    {{ name = {_value(name)}, labels = {_value(list(group.labels))} }}," for name, group in named.items()),
        "]",
        "",
        "[head_owners]",
        *(f"{name} = {_value(list(group.sites))}" for name, group in named.items()),
    ]
    return "".join(f"# {line}".rstrip() + "\n" for line in lines)


def _value(value: str | list[str]) -> str:
    # A string's and a list of strings' JSON is TOML too.
    return json.dumps(value, ensure_ascii=False)


def _source(data: Path, hints: Hints) -> CsvData | ImageFolderData:
    if data.is_dir():
        return ImageFolderData(source="images", path=data.absolute())
    return CsvData(source="csv", path=data.absolute(), site_column=hints.site_column, unlabelled=hints.unlabelled)


def _task(source: CsvData | ImageFolderData, hints: Hints) -> tuple[Task, Path | None]:
    from shared.data import infer_task, infer_text_task
    from shared.data.text import tokeniser_file
    from shared.tokenise import Tokeniser

    if hints.text is None or hints.tokenizer is None or not isinstance(source, CsvData):
        return _headed(infer_task(source, hints.label), source, hints), None
    file = tokeniser_file(hints.tokenizer).absolute()
    return _headed(infer_text_task(source, hints.text, hints.label, Tokeniser(read_bytes(file, what="tokeniser"))), source, hints), file


def _headed(task: Task, source: CsvData | ImageFolderData, hints: Hints) -> Task:
    from shared.data.headed import with_heads

    if hints.head_column is None or not isinstance(source, CsvData) or isinstance(task, ImageTask):
        return task
    return with_heads(task, source, hints.head_column)
