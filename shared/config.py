"""federation.toml and institution.toml: read, checked once, frozen. Every default is the safe one."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, ValidationError, field_validator, model_validator
from rapidfuzz import process

from shared.compress.devices import check_profile_name
from shared.entity_table import TableSettings
from shared.errors import ConfigError, KnowledgeError
from shared.files import read_bytes
from shared.frozen import Frozen
from shared.knowledge.linking import LabelMapping, Mapping, TableMapping
from shared.settings import DeviceName, DistillationSettings, KnowledgeTerms, NetworkSettings, ProxyTerms, TrainingSettings
from shared.sources import DataSource, SplitSettings
from shared.task import TabularTask, Task

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""An institution's name: lower-case letters, digits and hyphens."""


class Named(Frozen):
    """An institution's name alone, to be checked."""

    name: Name


Downlink = Literal["delta", "full"]
"""How the student goes down to institutions: as packed deltas, or whole in every round."""


class AggregationSettings(Frozen):
    """Secure aggregation: what the coordinator proposes; each institution's policy may refuse it.

    ``width`` is the ring's width in bits, so bytes a parameter uplink times 8; ``rotation`` spreads an update before it is
    rounded, ``error_feedback`` keeps what rounding lost for the next one. ``clip_norm`` is the longest update (L2); with a
    ``clip_quantile`` above 0 it is the first and the largest, and then follows the norm that this part of the institutions
    stays within, at ``clip_rate`` (Andrew et al. 2021, equation 2), known from masked counts alone.

    ``downlink`` is how the student goes down: as packed int8 deltas of less than 1 byte a parameter, or whole (4 bytes).
    ``lone_heads`` lets a head be learnt that fewer than ``smallest_cohort`` institutions have; each that has it must allow it too.
    ``weighting``: an institution counts in the mean by its training ``records``, at most as twice the mean institution's, or all are
    ``equal``, so that one with few records is heard as well.
    """

    width: Literal[8, 16, 32] = 8
    rotation: bool = True
    error_feedback: bool = True
    clip_norm: float = Field(default=3.0, gt=0.0, le=1e6)
    clip_quantile: float = Field(default=0.9, ge=0.0, le=1.0)
    clip_rate: float = Field(default=1.0, gt=0.0, le=10.0)
    collusion: int = Field(default=1, ge=0, le=1000)
    smallest_cohort: int = Field(default=3, ge=2, le=10_000)
    deadline_s: float = Field(default=600.0, gt=0.0, le=86_400.0)
    most_void_rounds: int = Field(default=5, ge=0, le=1000)
    downlink: Downlink = "delta"
    lone_heads: bool = False
    weighting: Literal["records", "equal"] = "records"

    @model_validator(mode="after")
    def _cohort_hides_everyone(self) -> AggregationSettings:
        if self.smallest_cohort < self.collusion + 2:
            least = self.collusion + 2
            raise ValueError(f"smallest_cohort must be at least collusion + 2 = {least}, so that a sum hides an honest institution")
        return self


class PrivacySettings(Frozen):
    """Differential privacy of the student's updates against everyone who sees the sums (``docs/security.md``).

    ``epsilon`` and ``delta`` are the promise for the whole run, for one institution's whole contribution; each institution
    adds its part of the noise before it masks. A large promise for few institutions costs the student dearly: try it in a
    simulation first.
    """

    epsilon: float = Field(gt=0.0, le=60.0)
    delta: float = Field(default=1e-5, gt=0.0, lt=1.0)


class OptimizerSettings(Frozen):
    """The server-side optimiser over the averaged update (Reddi et al. 2021)."""

    name: Literal["fedavg", "fedavgm", "fedadam", "fedyogi"] = "fedavg"
    learning_rate: float = Field(default=1.0, gt=0.0, le=100.0)
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    second_momentum: float = Field(default=0.99, ge=0.0, lt=1.0)
    epsilon: float = Field(default=1e-3, gt=0.0, le=1.0)


class _Proxy(ProxyTerms):
    epochs: int = Field(default=100, ge=1, le=100_000)


class RecordsProxy(_Proxy):
    """A public set of records without labels, on which institutions answer: their answers travel, their weights never do.

    ``path`` is a ``.csv`` file, a ``.npz`` with an array ``inputs`` in the task's raw form, or a folder of images at any depth; a
    label is not needed, and not looked at. The records travel to each institution once (each round, where
    ``aggregation.downlink`` is ``full``). ``epochs`` is how often the coordinator's own student sees each of them at the end.
    """

    source: Literal["records"]
    path: Path


class GeneratedProxy(_Proxy):
    """As ``RecordsProxy``, with ``records`` table rows that nobody has: numbers from the normal distribution of the masked
    statistics, categories evenly, each cell ``missing`` with this probability. Both sides draw the same from the run's seed, so they
    never travel. Tables alone.
    """

    source: Literal["generated"]
    records: int = Field(default=512, ge=1, le=1_000_000)
    missing: float = Field(default=0.2, ge=0.0, lt=1.0)


ProxySettings = Annotated[RecordsProxy | GeneratedProxy, Field(discriminator="source")]


class KnowledgeSettings(KnowledgeTerms):
    """What a knowledge graph teaches every institution (``docs/knowledge.md``).

    The public graph is ``builtin`` or the file ``path``; it travels to each institution, bound by its SHA-256 in the signed plan. With
    neither, each learns from the triples of its own ``knowledge.path``. ``mapping`` says which labels are which entities and, of tables,
    which categories and ranges of which ``columns``, of texts by what ``names`` they go; the built-in graph has its own. ``table`` puts
    a part of the graph into the student.
    """

    builtin: Literal["heart"] | None = None
    path: Path | None = None
    mapping: Mapping | None = None
    table: TableSettings | None = None

    @model_validator(mode="after")
    def _one_graph(self) -> KnowledgeSettings:
        if self.builtin is not None and self.path is not None:
            raise ValueError("give either builtin or path; several files become one graph by `fedstill knowledge build`")
        if self.path is not None and self.mapping is None:
            raise ValueError("a graph of one's own needs [knowledge.mapping], which says what of a record is which entity")
        if self.table is not None and self.builtin is None and self.path is None:
            raise ValueError(
                "[knowledge.table] goes into the student that is published, so it is made of a public graph alone and never of an "
                "institution's private triples; give builtin or path, or leave it out"
            )
        return self


class PrivateKnowledge(Frozen):
    """What an institution knows by itself: the triples of ``path`` never leave it. They join the federation's public graph, and
    ``mapping``, if it is given, stands in place of the federation's. With ``use`` false it learns from no graph, whatever the plan says.

    ``salt_path`` is the file of secret bytes that the institutions agreed on among themselves (``fedstill client salt FILE`` makes it),
    and that the coordinator must never have: by it they name entities that they share, where the federation has ``[knowledge.shared]``.
    Without it this institution shares none.

    ``embeddings_path`` is a file of ``fedstill knowledge embed``, which takes the place of the link prediction of
    ``[knowledge.embeddings]`` here. Entities that it lacks, those of the private triples or new ones, begin as their neighbours are.
    """

    path: Path | None = None
    mapping: Mapping | None = None
    use: bool = True
    embeddings_path: Path | None = None
    salt_path: Path | None = None


class CompressionSettings(Frozen):
    """The INT8 artifact: the device it must suit and the largest loss of accuracy (fraction) at which it is signed.

    ``device`` is the name of a known profile (``fedstill device list``: ``portable`` is right everywhere), or the path of a ``.toml`` that
    ``fedstill device measure`` wrote on a device of your own. ``prune`` is the part of the student's parameters that is removed once
    training has ended (0: none; ``docs/pruning.md``), by what masked statistics say of them, with at least ``keep_layers`` of its
    blocks kept; ``healing_rounds`` of training follow. ``quantisation_aware`` is how many rounds, after those, the student learns on
    with the arithmetic of its INT8 file, at the activation ranges that were agreed on (``shared/compress/qat``); 0 leaves it out.
    """

    device: str = "portable"
    max_drop: float = Field(default=0.02, ge=0.0, le=1.0)
    prune: float = Field(default=0.0, ge=0.0, le=0.95)
    keep_layers: float = Field(default=0.8, gt=0.0, le=1.0)
    healing_rounds: int = Field(default=2, ge=0, le=1000)
    quantisation_aware: int = Field(default=0, ge=0, le=1000)

    @field_validator("device")
    @classmethod
    def _device_is_known(cls, device: str) -> str:
        try:
            check_profile_name(device)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return device


class FederationConfig(Frozen):
    """federation.toml: one federation, its task, and how it is run.

    ``tokenizer_path`` is the ``tokenizer.json`` (or the folder with it) of a text task: it travels in the artifact.
    ``initial_path`` is what the student starts from, public and the same for all: a model of fedstill's (``.safetensors``), the folder
    of a pretrained Hugging Face encoder, or the ``.pth`` of EfficientNet-lite0 for a ``mobile`` student; without it, from random
    weights of the seed.

    ``fragments`` maps an institution to patterns (``blocks.0.*``) of the student's parameters that it trains; others train all.
    A parameter that fewer than ``aggregation.smallest_cohort`` train stays as it is.

    ``head_owners`` maps each head of a task with several to the institutions that have records of it, unless
    ``aggregation.lone_heads``. It travels in every plan, and each institution compares it with its own records.

    With ``proxy`` institutions exchange answers to its records in place of weights, so that their students may differ in shape: each
    has the ``student`` of its own institution.toml, in a simulation the one of ``students`` under its name, else ``student``, which is
    the coordinator's own and the one that is published.
    """

    name: Name
    seed: int = Field(default=7, ge=0, lt=2**63)
    rounds: int = Field(default=12, ge=1, le=100_000)
    task: Task
    data: DataSource | None = None
    split: SplitSettings = SplitSettings()
    teacher: NetworkSettings = NetworkSettings(width=48, depth=3)
    student: NetworkSettings = NetworkSettings(width=12, depth=2)
    teacher_training: TrainingSettings = TrainingSettings(epochs=30)
    training: TrainingSettings = TrainingSettings()
    distillation: DistillationSettings = DistillationSettings()
    aggregation: AggregationSettings = AggregationSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    compression: CompressionSettings = CompressionSettings()
    privacy: PrivacySettings | None = None
    fragments: dict[Name, tuple[str, ...]] = Field(default_factory=dict)
    head_owners: dict[str, tuple[Name, ...]] = Field(default_factory=dict)
    proxy: ProxySettings | None = None
    knowledge: KnowledgeSettings | None = None
    students: dict[Name, NetworkSettings] = Field(default_factory=dict)
    tokenizer_path: Path | None = None
    initial_path: Path | None = None

    @model_validator(mode="after")
    def _grids_need_weights(self) -> FederationConfig:
        if self.proxy is not None and self.compression.quantisation_aware:
            raise ValueError("with [proxy] no weights travel that could learn with a grid; leave compression.quantisation_aware at 0")
        return self

    @model_validator(mode="after")
    def _texts_have_a_tokeniser(self) -> FederationConfig:
        # Without it the run would fail at its very end, when the artifact is signed.
        if self.task.family == "text" and self.tokenizer_path is None:
            raise ValueError("a text task needs tokenizer_path, the tokenizer.json that travels in the artifact")
        return self

    @model_validator(mode="after")
    def _every_head_is_kept(self) -> FederationConfig:
        # The largest logits of a teacher may all lie outside a record's head, and say nothing about it.
        if self.task.heads and self.distillation.top_k:
            raise ValueError("a task with heads needs all of a teacher's logits; leave distillation.top_k at 0")
        return self

    @model_validator(mode="after")
    def _heads_are_whole(self) -> FederationConfig:
        # Averages over those who have a head and over those who train a fragment would need the weights of both at once.
        if self.task.heads and self.fragments:
            raise ValueError("a task with heads is averaged head by head, which [fragments] would change; leave out either")
        return self

    @model_validator(mode="after")
    def _owners_are_of_heads(self) -> FederationConfig:
        names, fewest = [head.name for head in self.task.heads], self.aggregation.smallest_cohort
        for head in self.head_owners:
            if head not in names:
                raise ValueError(f"head_owners names '{head}', which is no head of the task; its heads are: {', '.join(names) or 'none'}")
        for head in names if self.head_owners and not self.aggregation.lone_heads else ():
            if (owners := len(set(self.head_owners.get(head, ())))) < fewest:
                raise ValueError(
                    f"the head '{head}' has {owners} of at least {fewest} institutions in head_owners (aggregation.smallest_cohort), "
                    f"so its sums would tell about one of them; find more, or set aggregation.lone_heads and each one's policy.lone_heads"
                )
        return self

    @model_validator(mode="after")
    def _noise_has_room(self) -> FederationConfig:
        if self.privacy is not None and self.aggregation.width == 8:
            raise ValueError("the noise of [privacy] does not fit into a ring of 8 bits; set aggregation.width to 16 or 32")
        if self.privacy is not None and self.fragments:
            raise ValueError("[privacy] accounts for whole updates only; leave out either it or [fragments]")
        return self

    @property
    def update_rounds(self) -> int:
        """Rounds that carry updates: those of training, those that heal a pruned student, and those that are quantisation-aware."""
        healing = self.compression.healing_rounds if self.compression.prune else 0
        return self.rounds + healing + self.compression.quantisation_aware

    @model_validator(mode="after")
    def _what_is_pruned_travels_whole(self) -> FederationConfig:
        shared = self.knowledge is not None and self.knowledge.shared is not None
        for name, is_set in (("[proxy]", self.proxy is not None), ("[fragments]", bool(self.fragments)), ("[knowledge.shared]", shared)):
            if self.compression.prune and is_set:
                raise ValueError(f"compression.prune makes another student of weights that all train, which {name} has not; leave out one")
        return self

    @model_validator(mode="after")
    def _knowledge_fits(self) -> FederationConfig:
        if self.knowledge is not None:
            if self.task.heads:
                raise ValueError("[knowledge] teaches one task, and this one has heads; leave out one of the two")
            _check_mapping(self.knowledge.mapping, self.task)
            _check_table(self.knowledge, self.task)
        return self

    @model_validator(mode="after")
    def _shared_entities_fit(self) -> FederationConfig:
        if self.knowledge is None or self.knowledge.shared is None:
            return self
        if self.proxy is not None:
            raise ValueError(
                "[knowledge.shared] travels with the student's weights, and with [proxy] none travel; leave out one of the two"
            )
        if self.fragments:
            raise ValueError("[knowledge.shared] lies behind the whole student; leave out either it or [fragments]")
        if self.aggregation.weighting == "equal":
            raise ValueError("[knowledge.shared] makes up for what institutions weigh by records; leave aggregation.weighting at records")
        if self.privacy is not None:
            # Each number gets the noise of an update's whole norm, and the counts of the slots are exact, as statistics are.
            raise ValueError("the noise of [privacy] would drown the rows of [knowledge.shared]; leave out one of the two")
        return self

    @model_validator(mode="after")
    def _answers_fit_together(self) -> FederationConfig:
        if self.proxy is None:
            if self.students:
                raise ValueError("students of different shapes cannot share weights; add [proxy], or leave out [students]")
            return self
        if self.fragments:
            raise ValueError("[fragments] are parts of weights, and with [proxy] none travel; leave out one of the two")
        if self.task.heads:
            raise ValueError("with [proxy] every institution answers every record among all labels; leave out either it or task.heads")
        if isinstance(self.proxy, GeneratedProxy) and self.task.family != "tabular":
            raise ValueError(
                f"proxy records of family '{self.task.family}' cannot be generated; give public ones: source = \"records\" with a path"
            )
        return self


class PolicySettings(Frozen):
    """What an institution agrees to. The coordinator cannot weaken it; a violation is a refusal in plain words.

    ``least_noise`` is the least deviation of the honest institutions' noise, in parts of an update's largest norm (0: none
    is asked for). With ``most_epsilon`` its updates, over all runs, cost at most that at ``delta``; rounds beyond, and updates
    without noise, are refused. Without ``lone_heads`` it lets nothing leave of a head of which fewer than ``smallest_cohort``
    institutions have records: what a sum says of such a head is nearly one institution's own update.

    ``updates`` are the kinds that may leave it, masked: those of the student's ``weights``, and ``answers`` to proxy records. It answers
    at most ``most_proxy_records`` of them, and where ``proxy_sha256`` is set, those with this digest alone (``fedstill check
    federation.toml`` prints it). Where ``graph_sha256`` is set it learns from the public graph with this digest alone (printed there too).
    Without ``entities`` neither counts of its graph's hashed entities nor changes of their embeddings leave it, masked or not.

    With ``approve`` at ``manual`` it answers no run before its operator has read the plan and approved it (``fedstill client approve``).
    """

    smallest_cohort: int = Field(default=3, ge=2)
    collusion: int = Field(default=1, ge=0)
    longest_clip_norm: float = Field(default=10.0, gt=0.0)
    most_rounds: int = Field(default=1000, ge=1)
    most_epochs: int = Field(default=100, ge=1)
    least_noise: float = Field(default=0.0, ge=0.0)
    most_epsilon: float | None = Field(default=None, gt=0.0)
    delta: float = Field(default=1e-5, gt=0.0, lt=1.0)
    lone_heads: bool = False
    updates: tuple[Literal["weights", "answers"], ...] = ("weights", "answers")
    most_proxy_records: int = Field(default=1_000_000, ge=1)
    proxy_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    graph_sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    entities: bool = False
    approve: Literal["automatic", "manual"] = "automatic"
    metrics: tuple[Literal["evaluation", "statistics", "activations"], ...] = ("evaluation", "statistics", "activations")


class InstitutionConfig(Frozen):
    """institution.toml: who this institution is, where its records and teacher are, and what it agrees to.

    ``tokenizer_path`` is the ``tokenizer.json`` (or the folder with it) of a text task, for records that are texts.
    ``head`` names the head of a task with several that all records without a label belong to; needed only where the labelled records
    are not all of one head.
    ``cache_limit_mb`` is the most that the teacher's kept answers may take on disk (0: none are kept); where they would take
    more, the teacher is asked anew for every batch.
    ``device`` is where the student learns: ``auto`` (the first CUDA GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``.
    ``teacher_device`` and ``teacher_precision`` are for a teacher from a Hugging Face folder: ``spread`` shares it among all devices,
    and ``auto`` is float32 on the CPU, or bfloat16 spread where there is a CUDA GPU or it is larger than 4 GiB.
    """

    name: Name
    seed: int = Field(default=7, ge=0, lt=2**63)
    task: Task
    data: DataSource
    split: SplitSettings = SplitSettings()
    teacher_path: Path | None = None
    head: str | None = None
    student: NetworkSettings = NetworkSettings(width=12, depth=2)
    policy: PolicySettings = PolicySettings()
    knowledge: PrivateKnowledge = PrivateKnowledge()
    tokenizer_path: Path | None = None
    cache_limit_mb: int = Field(default=4096, ge=0, le=100_000_000)
    threads: int = Field(default=1, ge=1, le=256)
    device: DeviceName = "auto"
    teacher_device: Literal["auto", "cpu", "cuda", "spread"] = "auto"
    teacher_precision: Literal["auto", "float32", "bfloat16"] = "auto"

    @model_validator(mode="after")
    def _head_is_the_task_s(self) -> InstitutionConfig:
        names = [head.name for head in self.task.heads]
        if self.head is not None and self.head not in names:
            raise ValueError(f"the task has no head '{self.head}'; its heads are: {', '.join(names) or 'none'}")
        if self.knowledge.mapping is not None:
            _check_mapping(self.knowledge.mapping, self.task)
        return self


def _check_mapping(mapping: LabelMapping | None, task: Task) -> None:
    if mapping is None:
        return
    if isinstance(mapping, TableMapping) != isinstance(task, TabularTask):
        raise ValueError(f"a mapping with columns is one for tables, and one without for texts and images; the task is of {task.family}s")
    try:
        mapping.class_entities(task)
        if isinstance(mapping, TableMapping) and isinstance(task, TabularTask):
            mapping.checked(task)
    except KnowledgeError as error:
        raise ValueError(str(error)) from error


def _check_table(knowledge: KnowledgeSettings, task: Task) -> None:
    from shared.knowledge.builtin import mapping_of

    mapping = mapping_of(knowledge)
    links = mapping.columns if isinstance(mapping, TableMapping) and isinstance(task, TabularTask) else ()
    linked = [link.column for link in links if link.kind == "category"]
    for name in knowledge.table.columns if knowledge.table is not None else ():
        if name not in linked:
            raise ValueError(
                f"[knowledge.table] names '{name}', whose categories the mapping links to no entity; it links those of: "
                + (", ".join(linked) or "no column")
            )


Config = TypeVar("Config", bound=Frozen)


def load_config(kind: type[Config], path: Path) -> Config:
    """Reads and checks a TOML file; relative paths in it are meant from its folder.

    Raises :class:`ConfigError` with one sentence that names the file, the key and, for an unknown key, the nearest right one.
    """
    try:
        table = tomllib.loads(read_bytes(path, what="configuration").decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return check_config(kind, _resolve_paths(table, path.parent), where=str(path))


def check_config(kind: type[Config], table: dict[str, Any], *, where: str) -> Config:
    """Checks a table as read from TOML; ``where`` names its origin in the error."""
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_sentence(kind, error)}") from error


def _sentence(kind: type[Frozen], error: ValidationError) -> str:
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"]) or "the file"
    if first["type"] == "extra_forbidden":
        near = process.extractOne(str(first["loc"][-1]), _known_keys(kind), score_cutoff=50)
        return f"unknown key '{place}'" + (f"; did you mean '{near[0]}'?" if near else "; see docs/configuration.md for the keys")
    return f"'{place}': {first['msg'].removeprefix('Value error, ')}"


def _known_keys(kind: type[Frozen]) -> list[str]:
    schema = kind.model_json_schema()
    tables = [schema, *schema.get("$defs", {}).values()]
    return sorted({key for table in tables for key in table.get("properties", {})})


def _resolve_paths(value: Any, folder: Path, key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _resolve_paths(item, folder, name) for name, item in value.items()}
    if isinstance(value, str) and (key == "path" or key.endswith("_path") or (key == "device" and value.endswith(".toml"))):
        return str((folder / value).absolute())
    return value
