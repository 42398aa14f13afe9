"""From a configuration to records: every source, as one institution sees it and as a simulation sees the whole."""

from __future__ import annotations

from pathlib import Path
from typing import assert_never

from shared.config import FederationConfig, InstitutionConfig
from shared.data.arrays import check_images, read_arrays
from shared.data.csvfile import read_csv, read_csv_sites
from shared.data.digits import SITES, read_digits
from shared.data.digits import TASK as DIGITS_TASK
from shared.data.heart import TASK as HEART_TASK
from shared.data.heart import read_heart
from shared.data.images import holds_labels, read_image_folder, read_image_sites
from shared.data.naming import institution_name
from shared.data.records import Records, Split, joined
from shared.data.split import deal, hold_out
from shared.errors import ConfigError, DataError, EmptyInstitutionError
from shared.sources import ArrayData, BuiltinData, CsvData, DataSource, ImageFolderData, SplitSettings
from shared.task import ImageTask, TabularTask, Task, TextTask

_KINDS = {"tabular": "table rows", "image": "images", "text": "texts"}


def builtin_task(name: str) -> Task:
    """The task of built-in records, ``heart`` or ``digits``. Raises :class:`ConfigError` for another name."""
    tasks: dict[str, Task] = {"heart": HEART_TASK, "digits": DIGITS_TASK}
    if name not in tasks:
        raise ConfigError(f"there is no built-in data '{name}'; there are {' and '.join(tasks)}")
    return tasks[name]


def load_sites(config: FederationConfig) -> dict[str, Split]:
    """All institutions of a simulation, by name, each with its records split; at least two.

    Raises :class:`ConfigError` where the configuration does not say what the sites are, and the errors of the readers.
    """
    if config.data is None:
        raise ConfigError("the federation's configuration has no [data] to simulate with; add it, or deploy institutions")
    sites = _sites(config.data, config.task, config.split, config.seed, config.tokenizer_path)
    if sites is None:
        raise ConfigError(f"{_where(config.data)} is one pool of records; say what the sites are: split.sites" + _hint(config.data))
    if not sites:
        raise EmptyInstitutionError(f"{_where(config.data)} holds no records; give every institution some")
    if len(sites) < 2:
        raise ConfigError(f"{_where(config.data)} holds one site only ({', '.join(sites)}); a federation needs at least 2")
    return {name: _split(part, config.split, seed=config.seed, site=name) for name, part in sorted(sites.items())}


def load_pool(config: FederationConfig) -> Split:
    """The records of all sites in one place, split: what distillation without a federation learns from.

    Raises :class:`ConfigError` without [data], :class:`EmptyInstitutionError` without records, and the errors of the readers.
    """
    if config.data is None:
        raise ConfigError("the configuration has no [data] to distil on; add it")
    is_pool = isinstance(config.data, ImageFolderData) and config.split.sites is None and holds_labels(config.data.path)
    sites = None if is_pool else _sites(config.data, config.task, config.split, config.seed, config.tokenizer_path)
    if sites is None:
        return _split(_whole(config.data, config.task, config.tokenizer_path), config.split, seed=config.seed, site="pool")
    if not sites:
        raise EmptyInstitutionError(f"{_where(config.data)} holds no records; give it some")
    splits = [_split(part, config.split, seed=config.seed, site=name) for name, part in sorted(sites.items())]
    return Split(joined([split.train for split in splits]), joined([split.test for split in splits]))


def load_site(config: InstitutionConfig) -> Split:
    """One institution's own records, split; from a source that holds several sites, those under its name.

    Raises :class:`EmptyInstitutionError` if there are none, and the errors of the readers.
    """
    sites = None if _is_own(config) else _sites(config.data, config.task, config.split, config.seed, config.tokenizer_path)
    if sites is None:
        return _split(_whole(config.data, config.task, config.tokenizer_path), config.split, seed=config.seed, site=config.name)
    if config.name not in sites:
        raise EmptyInstitutionError(f"{_where(config.data)} has no records of '{config.name}'; its sites are: {', '.join(sorted(sites))}")
    return _split(sites[config.name], config.split, seed=config.seed, site=config.name)


def _is_own(config: InstitutionConfig) -> bool:
    # An institution's folder is LABEL/*.png, a federation's SITE/LABEL/*.png; an array file is one site's either way.
    return isinstance(config.data, ImageFolderData) and config.split.sites is None


def _split(part: Records | Split, settings: SplitSettings, *, seed: int, site: str) -> Split:
    if isinstance(part, Records):
        return hold_out(part, settings.test_fraction, seed=seed, site=site)
    if not len(part.train) or not len(part.test):
        raise EmptyInstitutionError(f"institution '{site}' has no records to learn from, or none to hold out; add some")
    return part


def _sites(data: DataSource, task: Task, split: SplitSettings, seed: int, tokenizer: Path | None) -> dict[str, Records | Split] | None:
    """The sites that a source tells apart, or that its pool is dealt to; None if it is one pool and is not dealt."""
    if isinstance(data, CsvData) and data.site_column is not None and split.sites is not None:
        raise ConfigError("data.site_column and split.sites both say what the sites are; keep one")
    if isinstance(data, CsvData) and data.transactions is not None and split.sites is not None:
        raise ConfigError(
            "split.sites deals rows that data.transactions has linked, and no institution could link those of others; "
            "say whose each row is with data.site_column"
        )
    if split.sites is not None:
        return {**deal(_pool(data, task, tokenizer), split.sites, split.alpha, seed=seed)}
    match data:
        case BuiltinData(source="heart"):
            return {**read_heart(_tabular(task, data))}
        case BuiltinData():
            return {**deal(_pool(data, task, tokenizer), SITES, split.alpha, seed=seed)}
        case CsvData():
            return None if data.site_column is None else {**read_csv_sites(data, _of_rows(task, data), data.site_column, tokenizer)}
        case ImageFolderData():
            return {**read_image_sites(data.path, _image(task, data))}
        case ArrayData():
            return _array_sites(data, task) if data.path.is_dir() else None
        case _:
            assert_never(data)


def _array_sites(data: ArrayData, task: Task) -> dict[str, Records | Split]:
    sites: dict[str, Records | Split] = {}
    for file in sorted(data.path.glob("*.npz")):
        name = institution_name(file.stem)
        if not name or name in sites:
            raise DataError(f"the file {file} gives its site no name of its own; use letters or digits that no other site has")
        sites[name] = read_arrays(file, task, unlabelled=data.unlabelled)
    if not sites:
        raise EmptyInstitutionError(f"there are no .npz files in {data.path}; give one for each site")
    return sites


def _pool(data: DataSource, task: Task, tokenizer: Path | None) -> Records:
    whole = _whole(data, task, tokenizer)
    return joined([whole.train, whole.test]) if isinstance(whole, Split) else whole


def _whole(data: DataSource, task: Task, tokenizer: Path | None) -> Records | Split:
    match data:
        case BuiltinData(source="heart"):
            return joined(list(read_heart(_tabular(task, data)).values()))
        case BuiltinData():
            records = read_digits()
            check_images(records.inputs, _image(task, data), "the built-in digits")
            if task.labels != DIGITS_TASK.labels:
                raise ConfigError("the built-in digits have the labels 0 to 9; use those in the task")
            return records
        case CsvData():
            return read_csv(data, _of_rows(task, data), tokenizer)
        case ImageFolderData():
            return read_image_folder(data.path, _image(task, data))
        case ArrayData():
            return read_arrays(data.path, task, unlabelled=data.unlabelled)
        case _:
            assert_never(data)


def _tabular(task: Task, data: DataSource) -> TabularTask:
    if task.family != "tabular":
        raise ConfigError(f"{_where(data)} holds table rows, but the task is for {_KINDS[task.family]}; use a task of family 'tabular'")
    return task


def _of_rows(task: Task, data: DataSource) -> TabularTask | TextTask:
    return task if task.family == "text" else _tabular(task, data)


def _image(task: Task, data: DataSource) -> ImageTask:
    if task.family != "image":
        raise ConfigError(f"{_where(data)} holds images, but the task is for {_KINDS[task.family]}; use a task of family 'image'")
    return task


def _where(data: DataSource) -> str:
    return f"the built-in data '{data.source}'" if isinstance(data, BuiltinData) else str(data.path)


def _hint(data: DataSource) -> str:
    return " or data.site_column" if isinstance(data, CsvData) else " or a folder with one .npz for each site"
