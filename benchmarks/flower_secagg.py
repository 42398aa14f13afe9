"""Flower's SecAgg+ with its own functions, stage by stage under a stopwatch: what fedstill's secure aggregation is compared with.

Clients run the stages of Flower's client mod, the server its workflow's unmasking on replies that are there already: no
message travels, and no client's time counts as the server's. The graph is complete and the threshold is fedstill's. Clients
that are not timed only take in their shares; the server then unmasks the sum of those that are, which takes as long.
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping, Sequence
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, RecordDict
from flwr.common import bytes_to_ndarray, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.crypto.symmetric_encryption import decrypt
from flwr.common.secure_aggregation.ndarrays_arithmetic import parameters_addition, parameters_mod
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS, Key
from flwr.common.secure_aggregation.secaggplus_utils import share_keys_plaintext_separate
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD
from flwr.server.workflow.constant import Key as WorkflowKey
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import SecAggPlusWorkflow, WorkflowState
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray

from benchmarks.consortium import COLLUSION, Case, Measured
from benchmarks.stopwatch import Stopwatch
from shared.secagg.encoding import threshold_for

# The package has a function of the same name, which an import statement would find instead of the module.
_mod = importlib.import_module("flwr.client.mod.secure_aggregation.secaggplus_mod")
_WEIGHT = 100
_DEFAULTS = SecAggPlusWorkflow(num_shares=1.0, reconstruction_threshold=0.5)
TOLERANCE = 1e-4
"""How far a mean may be from the plain one: Flower rounds to steps of 4e-6, in a sum weighted by the tenth of its largest weight."""

Answer = Mapping[str, Any]


class FlowerCohort:
    """Clients that have agreed on keys and dealt their shares: they can be asked to mask and unmask again and again."""

    def __init__(self, members: int) -> None:
        logging.getLogger("flwr").setLevel(logging.ERROR)
        TaskIdentity.run_id = TaskIdentity.node_id = TaskIdentity.task_id = 1  # a message cannot be made outside a run
        self._watch = Stopwatch()
        self._nodes = [*range(1, members + 1)]
        self._threshold = threshold_for(members, COLLUSION)
        self._states = {node: _mod.SecAggPlusState(nid=node) for node in self._nodes}
        self._public: dict[str, Any] = {str(node): self._set_up(node) for node in self._nodes}
        dealt = {
            node: self._watch.run("share_keys", partial(_mod._share_keys, self._states[node], ConfigRecord(self._public)))
            for node in self._nodes
        }
        self._bytes_dealt = sum(map(len, self._public["1"])) + _bytes(dealt[1])
        self._inbox: dict[int, dict[int, bytes]] = {node: {} for node in self._nodes}
        for source, answer in dealt.items():
            for node, sealed in zip(answer[Key.DESTINATION_LIST], answer[Key.CIPHERTEXT_LIST], strict=True):
                self._inbox[node][source] = sealed
        for node in self._nodes:
            self._open_shares(node)

    def measure(self, case: Case, seed: int, sample: int) -> Measured:
        """One masking and unmasking. With everyone in the sample, raises ``ValueError`` for a wrong mean.

        Stages at a client: ``setup``, ``share_keys`` (of the cohort, once), ``client`` (encoding and masking), ``unmask``; at the
        server: ``add`` for each answer, and ``unmask_stage`` (from all shares to the mean update).
        """
        watch = Stopwatch()
        active = [node for place, node in enumerate(self._nodes) if place not in case.absent]
        vector = np.random.default_rng(seed).standard_normal(case.params, np.float32)
        total: list[NDArray[Any]] = []
        for node in active[:sample]:
            masked = watch.run("client", partial(self._masked, node, vector))
            total = watch.run("add", partial(_added, total, masked))
        replies = {node: watch.run("unmask", partial(self._unmasked, node, active)) for node in active}
        mean = watch.run("unmask_stage", partial(self._mean, parameters_mod(total, _DEFAULTS.modulus_range), replies))
        if sample >= len(active) and np.abs(mean - vector).max() > TOLERANCE:
            raise ValueError("Flower's mean is not the plain mean of the vectors")
        sent = self._bytes_dealt + _bytes(masked) + _bytes(replies[active[0]])
        return Measured(self._watch.stages | watch.stages, sent)

    def _set_up(self, node: int) -> list[bytes]:
        settings: dict[str, Any] = {
            Key.SAMPLE_NUMBER: len(self._nodes),
            Key.SHARE_NUMBER: len(self._nodes),
            Key.THRESHOLD: self._threshold,
            Key.CLIPPING_RANGE: _DEFAULTS.clipping_range,
            Key.TARGET_RANGE: _DEFAULTS.quantization_range,
            Key.MOD_RANGE: _DEFAULTS.modulus_range,
            Key.MAX_WEIGHT: _DEFAULTS.max_weight,
        }
        answer = self._watch.run("setup", partial(_mod._setup, self._states[node], ConfigRecord(settings)))
        return [answer[Key.PUBLIC_KEY_1], answer[Key.PUBLIC_KEY_2]]

    def _open_shares(self, node: int) -> None:
        # What a client does before it masks, for those who are not asked to.
        state = self._states[node]
        for source, sealed in self._inbox[node].items():
            _, _, seed, key = share_keys_plaintext_separate(decrypt(state.ss2_dict[source], sealed))
            state.rd_seed_share_dict[source], state.sk1_share_dict[source] = seed, key

    def _masked(self, node: int, vector: NDArray[np.float32]) -> Answer:
        inbox = self._inbox[node]
        request = ConfigRecord({Key.SOURCE_LIST: [*inbox], Key.CIPHERTEXT_LIST: [*inbox.values()]})
        masked: Answer = _mod._collect_masked_vectors(self._states[node], request, _WEIGHT, ndarrays_to_parameters([vector]))
        return masked

    def _unmasked(self, node: int, active: Sequence[int]) -> Answer:
        lost = [other for other in self._nodes if other not in active]
        request = ConfigRecord({Key.ACTIVE_NODE_ID_LIST: [*active], Key.DEAD_NODE_ID_LIST: lost})
        shares: Answer = _mod._unmask(self._states[node], request)
        return shares

    def _mean(self, total: list[NDArray[Any]], replies: Mapping[int, Answer]) -> NDArray[Any]:
        state = WorkflowState(
            sampled_node_ids={*self._nodes},
            active_node_ids={*replies},
            num_shares=len(self._nodes),
            threshold=self._threshold,
            clipping_range=_DEFAULTS.clipping_range,
            quantization_range=_DEFAULTS.quantization_range,
            mod_range=_DEFAULTS.modulus_range,
            max_weight=_DEFAULTS.max_weight,
            nid_to_neighbours={node: {*self._nodes} for node in self._nodes},
            nid_to_publickeys={int(node): keys for node, keys in self._public.items()},
            aggregate_ndarrays=total,
        )
        fit = SimpleNamespace(parameters=None)
        state.legacy_results = [(None, fit)]  # type: ignore[list-item]
        messages = [_reply(node, answer) for node, answer in replies.items()]
        grid: Any = SimpleNamespace(send_and_receive=lambda sent, timeout: messages)
        if not _DEFAULTS.unmask_stage(grid, _context(), state):
            raise ValueError("Flower halted the unmasking")
        mean: NDArray[Any] = parameters_to_ndarrays(fit.parameters)[0]
        return mean


def _added(total: list[NDArray[Any]], answer: Answer) -> list[NDArray[Any]]:
    vectors = [bytes_to_ndarray(content) for content in answer[Key.MASKED_PARAMETERS]]
    return parameters_addition(total, vectors) if total else vectors


def _reply(node: int, answer: Answer) -> SimpleNamespace:
    content = RecordDict({RECORD_KEY_CONFIGS: ConfigRecord(dict(answer), False)})
    return SimpleNamespace(metadata=SimpleNamespace(src_node_id=node), content=content, has_error=lambda: False)


def _context() -> Any:
    records = {MAIN_CONFIGS_RECORD: {WorkflowKey.CURRENT_ROUND: 1}}
    strategy = SimpleNamespace(aggregate_fit=lambda number, results, failures: (None, {}))
    return SimpleNamespace(strategy=strategy, history=None, state=SimpleNamespace(config_records=records, array_records={}))


def _bytes(answer: Answer) -> int:
    return ConfigRecord(dict(answer), False).count_bytes()
