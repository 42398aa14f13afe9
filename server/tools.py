"""The toolbox of real runs: students in torch, statistics in whole numbers, artifacts in ONNX. Heavy imports wait until used."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from server import pruning
from server.planning import privacy_planner
from server.records import RoundRecord
from server.site import CoordinatorSite
from server.toolbox import FLOAT, MADE_OTHERWISE, Publication, Ranges, Student, student_of
from shared.config import FederationConfig, GeneratedProxy, RecordsProxy
from shared.errors import ArtifactError, ConfigError
from shared.files import read_bytes
from shared.secagg.messages import Fragment
from shared.settings import NetworkSettings
from shared.task import TabularTask
from shared.work import Normalisation

if TYPE_CHECKING:
    from shared.compress.cost import Timing
    from shared.compress.manifest import GateResult, Provenance


class InstalledToolbox:
    """As :class:`server.toolbox.Toolbox`, for the federation of a coordinator's folder."""

    def __init__(self, site: CoordinatorSite, config: FederationConfig | None = None) -> None:
        """``config`` stands in for the folder's own, where a benchmark compares several."""
        self._site = site
        self._config = site.config if config is None else config
        self._proxy: tuple[Normalisation, NDArray[Any]] | None = None
        self._graph: bytes | None = None
        self._made: tuple[bytes, dict[str, bytes]] | None = None

    def exponents(self, sums: NDArray[np.int64]) -> tuple[int, ...]:
        """Each numeric column's exponent."""
        from shared.data.statistics import choose_exponents

        return choose_exponents(self._config.task, sums)

    def normalisation(self, sums: Mapping[str, NDArray[np.int64]], exponents: tuple[int, ...]) -> Normalisation:
        """Means and deviations, and the tables of the public graph."""
        from shared.data.statistics import normalisation
        from shared.knowledge.student_table import student_tables

        return normalisation(self._config.task, sums, exponents).model_copy(update={"tables": student_tables(self._config)})

    def initial(self, normalisation: Normalisation) -> NDArray[np.float32]:
        """The student's first parameters: from ``initial_path``, else from the seed."""
        from shared.compress.devices import find_profile
        from shared.models import to_vector
        from shared.models.derive import first_student

        # What would fail when the artifact is signed should fail before anyone trains.
        self._tokenizer()
        find_profile(self._config.compression.device)
        return to_vector(first_student(self._config, normalisation))

    def proxy(self, normalisation: Normalisation) -> NDArray[Any]:
        """The proxy records, read or drawn once and kept."""
        if self._proxy is None or self._proxy[0] != normalisation:
            self._proxy = normalisation, self._proxy_inputs(normalisation)
        return self._proxy[1]

    def graph(self) -> bytes:
        """The public graph, read once and kept."""
        if self._graph is None:
            from shared.knowledge.builtin import graph_of
            from shared.knowledge.packed import pack_graph

            found = graph_of(self._config.knowledge) if self._config.knowledge is not None else None
            self._graph = pack_graph(found) if found is not None else b""
        return self._graph

    def distilled(self, normalisation: Normalisation, consensus: NDArray[np.float32]) -> NDArray[np.float32]:
        """The student that is published where institutions exchange answers."""
        from shared.distill.from_consensus import student_of_consensus
        from shared.models import to_vector

        return to_vector(student_of_consensus(self._config, normalisation, self.proxy(normalisation), consensus))

    def fragments(self, student: Student) -> Mapping[str, Fragment]:
        """From the patterns of federation.toml."""
        from shared.models.fragment import fragment_ranges

        model = self._model(student)
        return {name: fragment_ranges(model, patterns) for name, patterns in self._config.fragments.items()}

    def outputs(self, student: Student) -> Sequence[Fragment]:
        """The rows of the student's last layer, by head."""
        from shared.models.outputs import output_ranges

        return output_ranges(self._model(student))

    def parts(self, student: Student) -> tuple[int, int, int]:
        """What can be weighed."""
        from shared.compress.prune.anatomy import anatomy

        found = anatomy(self._model(student))
        return len(found.blocks), found.heads, found.inner

    def pruned(self, student: Student, sums: Mapping[str, NDArray[np.int64]]) -> tuple[NetworkSettings, NDArray[np.float32]]:
        """By the plan that the sums decide."""
        from shared.compress.prune.federated import pruned_by
        from shared.models import to_vector

        smaller = pruned_by(self._model(student), sums, self._config.compression)
        return smaller.settings, to_vector(smaller)

    def tensors(self, student: Student) -> tuple[str, ...]:
        """The tensors to calibrate."""
        from shared.compress.calibrate import calibrated_tensors

        return calibrated_tensors(self._float(student))

    def choose_ranges(self, tensors: tuple[str, ...], sums: NDArray[np.int64]) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Where histograms begin and end."""
        from shared.compress.calibrate import choose_ranges

        return choose_ranges(tensors, sums)

    def clip_ranges(self, tensors: tuple[str, ...], lows: tuple[float, ...], highs: tuple[float, ...], sums: NDArray[np.int64]) -> Ranges:
        """The ranges to quantise."""
        from shared.compress.calibrate import clip_ranges

        return clip_ranges(tensors, lows, highs, sums)

    def candidates(self, student: Student, ranges: Ranges) -> dict[str, bytes]:
        """The INT8 candidates of the device, and the float graph that they are compared with."""
        from shared.compress.candidates import candidates

        graph = self._float(student)
        key = hashlib.sha256(graph + repr(sorted(ranges.items())).encode()).digest()
        if self._made is None or self._made[0] != key:
            self._made = key, candidates(graph, ranges, self._config.compression.device, self._timing)
        whole = graph if student.unpruned is None else self._float(Student(student.unpruned, student.normalisation))
        return {FLOAT: whole, **self._made[1]}

    def loses_too_much(self, student: Student, ranges: Ranges, sums: Mapping[str, NDArray[np.int64]]) -> bool:
        """Whether the gate may sign none of the candidates by its counts, and could if they lost less."""
        from shared.compress.gate import LossRefusal

        files = self.candidates(student, ranges)
        try:
            self._judged(files.pop(FLOAT), files, sums)
        except LossRefusal:
            return True
        except ArtifactError:  # which losing less would not help: publishing will say it
            return False
        return False

    def publish(self, publication: Publication) -> Path:
        """Writes ``student.safetensors`` and the signed artifact of the candidate that the gate chose."""
        from shared.compress.artifact import write_artifact
        from shared.compress.devices import find_profile
        from shared.compress.manifest import InputsSeen, Manifest
        from shared.models import save_model

        config, facts = self._config, publication.state.facts
        student = student_of(publication.state)
        save_model(publication.folder / "student.safetensors", self._model(student))
        files = self.candidates(student, facts.ranges)
        _same_as_judged(files, facts.judged)
        whole = files.pop(FLOAT)
        digest = hashlib.sha256(whole).hexdigest()
        sums = {name: np.array(counts, np.int64) for name, counts in facts.gate.items()}
        gate = self._judged(whole, files, sums)
        scales = facts.normalisation
        manifest = Manifest(
            version=publication.version,
            task=config.task,
            device=find_profile(config.compression.device).name,
            grid=gate.winner,
            gate=gate,
            provenance=self._provenance(publication, digest),
            inputs_seen=InputsSeen(means=scales.means, deviations=scales.deviations),
        )
        folder = publication.folder / "artifact"
        write_artifact(folder, files[gate.winner], manifest, self._site.identity, self._tokenizer())
        return folder

    def _judged(self, whole: bytes, files: Mapping[str, bytes], sums: Mapping[str, NDArray[np.int64]]) -> GateResult:
        from shared.compress.gate import Allowed, results

        return results(whole, files, sums, Allowed(self._config.compression.max_drop), self._timing)

    def _proxy_inputs(self, normalisation: Normalisation) -> NDArray[Any]:
        from shared.data.proxy import generated_proxy, read_proxy

        config = self._config
        match config.proxy:
            case RecordsProxy() as proxy:
                return read_proxy(proxy, config.task, config.tokenizer_path)
            case GeneratedProxy() as proxy if isinstance(config.task, TabularTask):
                return generated_proxy(config.task, normalisation, proxy.records, proxy.missing, seed=config.seed)
            case _:
                raise ConfigError("the federation has no proxy records; add [proxy]")

    def _tokenizer(self) -> bytes | None:
        from shared.data.text import read_tokeniser

        task = self._config.task
        return read_tokeniser(task, self._config.tokenizer_path).content if task.family == "text" else None

    def _provenance(self, publication: Publication, digest: str) -> Provenance:
        from shared.compress.manifest import Provenance

        training = [record for record in publication.rounds if record.phase == "train"]
        return Provenance(
            federation=self._config.name,
            run=publication.run,
            rounds=publication.state.facts.version - (publication.state.facts.undone or 0),
            void_rounds=sum(record.status == "void" for record in publication.rounds),
            cohort_sizes=tuple(len(record.survivors) for record in training if record.status == "closed"),
            roster_digest=publication.roster_digest.hex(),
            train_records=_train_records(publication.rounds),
            student_parameters=publication.state.vector.size,
            teacher_parameters=self._teacher_parameters(publication),
            **self._privacy(publication),
            student_digest=digest,
            initial_digest=self._initial_digest(),
            proxy_digest=publication.state.facts.proxy_sha256 or None,
            graph_digest=publication.state.facts.graph_sha256 or None,
            changes=pruning.changes(publication.state, self._config),
            tables={table.column: table.size for table in publication.state.facts.normalisation.tables},
        )

    def _initial_digest(self) -> str | None:
        from shared.models.derive import weights_file

        path = self._config.initial_path
        return None if path is None else hashlib.sha256(read_bytes(weights_file(path), what="model to start from")).hexdigest()

    def _privacy(self, publication: Publication) -> dict[str, Any]:
        privacy = privacy_planner(self._config)
        return {} if privacy is None else {"epsilon": privacy.spent(publication.rounds), "delta": privacy.settings.delta}

    def _teacher_parameters(self, publication: Publication) -> int | None:
        # What federation.toml proposes; an institution may have brought a teacher of its own.
        if self._config.distillation.teacher not in ("own", "mutual"):
            return None
        from shared.models import build, count_parameters

        config = self._config
        return count_parameters(build(config.teacher, config.task, publication.state.facts.normalisation.of_inputs, seed=config.seed))

    @cached_property
    def _timing(self) -> Timing:
        from shared.compress.cost import timing_on

        return timing_on(self._config.compression.device)

    def _float(self, student: Student) -> bytes:
        from shared.compress.export import export_float

        return export_float(self._model(student), self._config.task)

    def _model(self, student: Student) -> Any:
        from shared.models import build, load_vector

        config = self._config
        model = build(student.settings or config.student, config.task, student.normalisation, seed=config.seed)
        load_vector(model, student.vector)
        return model


def _same_as_judged(files: Mapping[str, bytes], judged: Sequence[tuple[str, str]]) -> None:
    # Counts belong to files by their place: those of another release or runtime may be others, or in another order.
    if judged and [(name, hashlib.sha256(content).hexdigest()) for name, content in files.items()] != list(judged):
        raise ArtifactError(MADE_OTHERWISE)


def _train_records(rounds: Sequence[RoundRecord]) -> int | None:
    counted = [record.weight for record in rounds if record.phase == "statistics-moments" and record.status == "closed"]
    return counted[-1] if counted else None
