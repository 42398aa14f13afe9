"""Membership in what travels in place of weights: was this record among those that the institutions' answers were learnt from?

    python -m benchmarks.consensus_attack [--seeds 3] [--rounds 12] [--json FILE]

Half of all built-in digits are the attacker's; the others are dealt to five institutions, which learn from half of theirs (members) and
hold the other half out (the others). Federations are the product's up to the last training round, without masks, which cancel exactly:
one of ``weights``, one of ``answers`` to the attacker's digits without labels, and one of answers where the attacker ``asked`` about the
very members and others, which it can where it chooses the proxy set and nobody's policy pins it.

Views: ``plain``, what one institution sent in the last round, in the clear, about its own records; ``sum``, the mean of all that the
coordinator learns, as a model or as answers; ``student``, the coordinator's own, distilled from the consensus. Answers to the attacker's
digits say nothing of other records by themselves, so that federation has the last view alone.

Scores of a record, higher for members: ``loss``, how sure the model is of the true label (Yeom et al. 2018), and ``calibrated``, the same
less what could be expected of a record as hard: the least-squares line of the sureness on the mean sureness of shadow models that were
fitted on the attacker's digits (difficulty calibration, Watson et al. 2022; the offline likelihood ratio of Carlini et al. 2022 with one
variance for all, as they advise for few shadows, but with a scale that is fitted, for answers are bounded and shadows are not). The figure
is the area under the ROC curve among each institution's own records, in the mean over institutions; baseline: a coin. ``nobody`` is the
shadows' mean, which has seen none of them: what the deal alone gives. ``accuracy`` is that on the others: who has learnt nothing tells
nothing.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load
from torch import nn

from benchmarks.averaging import Averaging, Contributions, RingAveraging
from benchmarks.harness import Claim, claim, parser, report
from benchmarks.hospitals import Hospitals
from benchmarks.membership import auc, beyond, surety
from benchmarks.regimes import changed, coordinator_at
from fedstill.plan import builtin_federation
from server.phases import Asked, Sums
from server.state import RunState
from shared.answers import table_of
from shared.config import FederationConfig
from shared.data import Records, Split
from shared.data.digits import SITES, read_digits
from shared.data.records import joined
from shared.data.seeds import generator
from shared.data.split import deal, hold_out
from shared.distill.alone import train_alone
from shared.models import build, load_vector
from shared.models.network import Network, predict_logits
from shared.models.seeds import derive
from shared.secagg.messages import Plan
from shared.work import Work

ALPHA, HELD_OUT = 1.0, 0.5
SHADOWS, SHADOW_SHARE = 8, 0.8
"""How many shadow models, each fitted on this share of the attacker's records."""

Logits = NDArray[np.floating[Any]]
Answering = Callable[[Records], Logits]
"""What a view says of records, by asking a model or by looking them up."""


@dataclass
class Overheard:
    """The last training round: the vector that went down, each institution's update as it would be in the clear, and their mean."""

    averaging: Averaging = field(default_factory=RingAveraging)
    before: NDArray[np.float32] = field(default_factory=lambda: np.zeros(0, np.float32))
    updates: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    mean: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))

    def tap(self, asked: Asked, _plan: Plan) -> None:
        """Hears what goes down."""
        if asked.update_words:
            self.before = load(asked.blob)["vector"]

    def __call__(self, plan: Plan, work: Work, done: Contributions, config: FederationConfig) -> Sums:
        """Sums as :class:`Averaging`, and hears what comes up."""
        sums = self.averaging(plan, work, done, config)
        if plan.layout.update_words:
            self.mean = sums.mean
            self.updates = {name: each.update for name, each in done.items() if each.update is not None}
        return sums

    def views(self) -> dict[str, NDArray[np.float32]]:
        """What each institution stands for by its name, and all of them as ``sum``."""
        return {
            **{name: self.before + update for name, update in self.updates.items()},
            "sum": (self.before + self.mean).astype(np.float32),
        }


@dataclass(frozen=True)
class Scene:
    """One seed: the attacker's records, what each institution learnt from and what it held out, and what shadow models say of those."""

    config: FederationConfig
    known: Records
    sites: Mapping[str, Split]
    shadows: Sequence[nn.Module]

    @classmethod
    def of(cls, seed: int, rounds: int, shadows: int) -> Scene:
        """Deals the digits and fits the shadows."""
        config = builtin_federation("digits").model_copy(update={"seed": seed, "rounds": rounds})
        digits = read_digits()
        known, rest = (digits.take(rows) for rows in np.array_split(generator(seed, "halves").permutation(len(digits)), 2))
        sites = {name: hold_out(part, HELD_OUT, seed=seed, site=name) for name, part in deal(rest, SITES, ALPHA, seed=seed).items()}
        return cls(config, known, sites, [_shadow(config, known, derive(seed, "shadow", place)) for place in range(shadows)])

    def figures(self, name: str, ask: Mapping[str, Answering]) -> dict[str, float]:
        """Both scores' areas and the accuracy of one view: ``ask`` has for each institution whom it asks about its records."""
        areas: dict[str, list[float]] = {"loss": [], "calibrated": []}
        right = []
        for site, split in self.sites.items():
            both = joined([split.train, split.test])
            sure, members = surety(ask[site](both), both.labels), len(split.train)
            for score, values in (("loss", sure), ("calibrated", beyond(sure, self.usual[site]))):
                areas[score].append(auc(values[:members], values[members:]))
            right.append((ask[site](split.test).argmax(axis=1) == split.test.labels).mean())
        means = {score: float(np.mean(values)) for score, values in areas.items()}
        return {f"{name}.{figure}": value for figure, value in {**means, "accuracy": float(np.mean(right))}.items()}

    @cached_property
    def usual(self) -> dict[str, NDArray[np.float64]]:
        """The shadows' mean sureness of each institution's records, those that it learnt from first."""
        both = {site: joined([split.train, split.test]) for site, split in self.sites.items()}
        return {site: np.mean([surety(_asking(model)(one), one.labels) for model in self.shadows], axis=0) for site, one in both.items()}

    def chance(self) -> float:
        """The area that somebody gets who has seen none of the records."""
        members = {site: len(split.train) for site, split in self.sites.items()}
        return float(np.mean([auc(self.usual[site][:count], self.usual[site][count:]) for site, count in members.items()]))


def measure(scene: Scene, folder: Path) -> dict[str, float]:
    """All figures of one seed; ``folder`` is empty."""
    hospitals = Hospitals.settle(scene.config, scene.sites, folder / "hospitals")
    about = joined([part for split in scene.sites.values() for part in (split.train, split.test)])
    heard, state = _federated(hospitals, scene.config)
    models = {name: _asking(_model(scene.config, state, vector)) for name, vector in heard.views().items()}
    found = {"nobody.loss": scene.chance()} | _by_view(scene, "weights", models)
    for name, records in (("answers", scene.known), ("asked", about)):
        np.savez(folder / f"{name}.npz", inputs=records.inputs)
        config = changed(scene.config, {"proxy": {"source": "records", "path": folder / f"{name}.npz"}})
        coordinator_at(folder / name, config)
        heard, state = _federated(Hospitals(config, replace(hospitals.workspace, coordinator=folder / name)), config)
        if name == "asked":
            tables = {site: table_of(vector, len(config.task.labels)) for site, vector in heard.views().items()}
            found |= _by_view(scene, name, {site: _looking_up(about, table) for site, table in tables.items()})
        student = _asking(_model(config, state, state.vector))
        found |= scene.figures(f"{name}.student", dict.fromkeys(scene.sites, student))
    return found


def _by_view(scene: Scene, name: str, ask: Mapping[str, Answering]) -> dict[str, float]:
    return scene.figures(f"{name}.plain", ask) | scene.figures(f"{name}.sum", dict.fromkeys(scene.sites, ask["sum"]))


def _federated(hospitals: Hospitals, config: FederationConfig) -> tuple[Overheard, RunState]:
    heard = Overheard()
    return heard, hospitals.federate(config, averaging=heard, tap=heard.tap)


def _model(config: FederationConfig, state: RunState, vector: NDArray[np.float32]) -> Network:
    model = build(config.student, config.task, state.facts.normalisation, seed=config.seed)
    load_vector(model, vector)
    return model.eval()


def _shadow(config: FederationConfig, known: Records, seed: int) -> Network:
    rows = generator(seed, "shadow").permutation(len(known))[: round(SHADOW_SHARE * len(known))]
    return train_alone(known.take(np.sort(rows)), config, None, seed=seed)


def _asking(model: nn.Module) -> Answering:
    return lambda records: predict_logits(model, records.inputs)


def _looking_up(about: Records, table: Logits) -> Answering:
    # Two equal images have equal answers, whichever is found.
    places = {image.tobytes(): place for place, image in enumerate(about.inputs)}
    return lambda records: table[[places[image.tobytes()] for image in records.inputs]]


def claims(found: Sequence[Mapping[str, float]]) -> Iterator[Claim]:
    """Medians over seeds, beside what a coin does."""
    for name in found[0]:
        accuracy = name.endswith(".accuracy")
        values = [one[name] for one in found]
        yield claim(name, values, "accuracy" if accuracy else "AUC", baseline=None if accuracy else 0.5)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--rounds", type=int, default=12, help="training rounds (default 12)")
    options.add_argument("--quick", action="store_true", help="one seed, one round, one shadow; nothing is kept")
    chosen = options.parse_args(arguments)
    chosen.no_keep = chosen.no_keep or chosen.quick
    torch.set_num_threads(1)
    found = []
    for seed in range(1 if chosen.quick else chosen.seeds):
        with tempfile.TemporaryDirectory() as folder:
            scene = Scene.of(seed, *((1, 1) if chosen.quick else (chosen.rounds, SHADOWS)))
            found.append(measure(scene, Path(folder)))
        print(f"seed {seed}: {found[-1]}", file=sys.stderr)
    report("consensus_attack", list(claims(found)), chosen)


if __name__ == "__main__":
    main()
