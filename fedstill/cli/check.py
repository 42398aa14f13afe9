"""``fedstill check``: is this configuration right, are the files it names there, do the records load?"""

from __future__ import annotations

import hashlib
import json
import sys
import tomllib
from pathlib import Path
from typing import Annotated

import typer

from fedstill.sites import check_students
from shared.config import FederationConfig, GeneratedProxy, InstitutionConfig, load_config
from shared.errors import ConfigError, MissingFileError
from shared.files import read_bytes

app = typer.Typer(add_completion=False)


@app.command()
def check(
    file: Annotated[Path, typer.Argument(help="A federation.toml or an institution.toml.")],
    records: Annotated[bool, typer.Option(help="Also load the records that the file names.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Check FILE without running anything: keys, values, paths and, unless --no-records, the records themselves.

    Example: fedstill check federation.toml
    """
    config = read_config(file)
    _check_files(config)
    counts = _count_records(config) if records and config.data is not None else {}
    if isinstance(config, FederationConfig) and counts:
        check_students(config, counts)
    proxy = _proxy(config) if isinstance(config, FederationConfig) and records else None
    knowledge = _knowledge(config) if isinstance(config, FederationConfig) else None
    if as_json:
        sys.stdout.write(json.dumps({"file": str(file), "kind": type(config).__name__, "records": counts}) + "\n")
        return
    sys.stdout.write(f"{file} is right.\n")
    if isinstance(config, FederationConfig) and config.privacy is not None:
        promise = f"ε = {config.privacy.epsilon:g} at δ = {config.privacy.delta:g}"
        sys.stdout.write(f"  privacy: the updates of {config.update_rounds} rounds cost each institution at most {promise}\n")
    if proxy is not None:
        sys.stdout.write(f"  {proxy}\n")
    if knowledge is not None:
        sys.stdout.write(f"  {knowledge}\n")
    for name, (train, test) in counts.items():
        sys.stdout.write(f"  {name}: {train} records to learn from, {test} held out\n")


def read_config(file: Path) -> FederationConfig | InstitutionConfig:
    """Reads either kind of file; an institution's is known by its ``policy``, ``threads`` or missing ``teacher`` table."""
    try:
        table = tomllib.loads(read_bytes(file, what="configuration").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file} is not valid TOML: {error}") from error
    if {"policy", "threads", "teacher_path"} & set(table) or file.name == "institution.toml":
        return load_config(InstitutionConfig, file)
    return load_config(FederationConfig, file)


def _check_files(config: FederationConfig | InstitutionConfig) -> None:
    from server.phases import first_state
    from shared.data.text import read_tokeniser

    if config.task.family == "text" and config.tokenizer_path is not None:
        read_tokeniser(config.task, config.tokenizer_path)
    if isinstance(config, FederationConfig):
        first_state(config)
    if isinstance(config, FederationConfig) and config.initial_path is not None and not config.initial_path.exists():
        raise MissingFileError(f"the model {config.initial_path} is not there; correct initial_path or leave it out")


def _proxy(config: FederationConfig) -> str | None:
    """What institutions would answer, in a sentence; with the digest that a policy may name, where it is known before a run."""
    if config.proxy is None:
        return None
    from shared.answers import inputs_digest
    from shared.data.proxy import read_proxy

    labels = len(config.task.labels)
    if isinstance(config.proxy, GeneratedProxy):
        return f"proxy: {config.proxy.records} generated records, {config.proxy.records * labels} logits a round; no weights leave"
    inputs = read_proxy(config.proxy, config.task, config.tokenizer_path)
    return f"proxy: {len(inputs)} records, {len(inputs) * labels} logits a round; no weights leave; SHA-256 {inputs_digest(inputs)}"


def _knowledge(config: FederationConfig) -> str | None:
    """What the public graph is, in a sentence; with the digest that a policy may name."""
    from shared.knowledge.builtin import graph_of
    from shared.knowledge.packed import pack_graph

    graph = graph_of(config.knowledge) if config.knowledge is not None else None
    if graph is None:
        return None
    content = pack_graph(graph)
    size = f"{len(graph)} triples among {len(graph.entities)} entities"
    return f"knowledge: {size}, {len(content)} bytes on their way to each institution; SHA-256 {hashlib.sha256(content).hexdigest()}"


def _count_records(config: FederationConfig | InstitutionConfig) -> dict[str, tuple[int, int]]:
    from shared.data import load_site, load_sites

    sites = {config.name: load_site(config)} if isinstance(config, InstitutionConfig) else load_sites(config)
    return {name: (len(split.train), len(split.test)) for name, split in sites.items()}
