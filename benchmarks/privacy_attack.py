"""What attacks get out of an update: in the clear, under masks, out of the sum, out of the sum with noise.

    python -m benchmarks.privacy_attack [--seeds 3] [--epsilon 8 --epsilon 1] [--json FILE]

Five institutions hold built-in digits; the attacker has half of all digits for itself, knows the student, how many records
everyone learnt from, and their labels. Two kinds of update: one plain gradient step on 1, 4 or 8 records (the attacks'
best case, nothing that a run would do), and a whole round of local training as the digits preset has it. Views
(``benchmarks/sight.py``): ``plain``, one institution's update as it would leave without protection; ``masked``, the same as the
coordinator receives it; ``sum``, what the coordinator learns; ``noised.EPSILON``, the sum of a run with differential privacy.

- ``inversion``: the images that gradient inversion draws (``benchmarks/inversion.py``). ``found`` is the share of records that
  can be picked out of all 1,797 by them; ``n`` unrelated images would find about ``n / 1797``. Baseline: the mean image of the
  label, which needs no update.
- ``membership``: area under the ROC curve (``benchmarks/membership.py``). Baseline: a coin. ``whose`` asks of a record that is in
  the sum whether it is the first institution's.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Claim, claim, parser, report
from benchmarks.inversion import Gradient, Inversion, Likeness, gradient_of, likeness
from benchmarks.membership import alignment, auc, gradients, loss_drop
from benchmarks.sight import sight
from shared.data import Records
from shared.data.digits import SITES, TASK, read_digits
from shared.data.seeds import generator
from shared.data.split import deal, hold_out
from shared.data.statistics import choose_exponents, exponent_counts, moment_counts, normalisation
from shared.distill.trainer import distil
from shared.models import Network, build, load_vector, to_vector
from shared.models.presets import preset
from shared.models.seeds import derive

SIZES = (1, 4, 8)
EPSILONS = (8.0, 1.0)
STEPS, STARTS, MEMBERS = 200, 2, 160
INVERTED = {"plain": SITES, "masked": 1}
"""How many institutions' updates are inverted, of the views that have one for each: masked ones differ in nothing."""
LEARNING_RATE = 0.1
ALPHA, HELD_OUT = 1.0, 0.25

Figures = dict[str, float]
"""One seed's figures by name."""
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Effort:
    """How hard the attacks try: steps and starts of an inversion, and members asked for."""

    sizes: Sequence[int] = SIZES
    steps: int = STEPS
    starts: int = STARTS
    members: int = MEMBERS


@dataclass(frozen=True)
class Scene:
    """One seed's digits: ``known`` are the attacker's, ``pool`` the rows of the institutions'; a fresh student."""

    seed: int
    everyone: Records

    @cached_property
    def halves(self) -> tuple[Rows, Rows]:
        """Rows of the attacker, and of the institutions."""
        order = generator(self.seed, "halves").permutation(len(self.everyone))
        return order[: len(order) // 2], order[len(order) // 2 :]

    @cached_property
    def known(self) -> Records:
        """The attacker's records."""
        return self.everyone.take(self.halves[0])

    @cached_property
    def student(self) -> Network:
        """The model that everyone is sent: the first of a run."""
        exponents = choose_exponents(TASK, exponent_counts(TASK, self.known))
        scale = normalisation(TASK, moment_counts(TASK, self.known, exponents), exponents)
        return build(preset("digits")["student"], TASK, scale, seed=self.seed)

    @cached_property
    def gradient(self) -> Gradient:
        """The student's gradient."""
        return gradient_of(self.student)

    @cached_property
    def own_gradients(self) -> NDArray[np.float32]:
        """Each record's own gradient ``(records, d)``."""
        return gradients(self.gradient, self.everyone)

    def draw(self, size: int, trial: int) -> Rows:
        """Rows ``(institutions, size)``, no two the same."""
        chosen = generator(self.seed, "draw", size, trial).choice(self.halves[1], SITES * size, replace=False)
        return np.asarray(chosen, np.int64).reshape(SITES, size)

    def steps(self, rows: Rows) -> list[NDArray[np.float32]]:
        """Each institution's update of one gradient step on its records."""
        return [-LEARNING_RATE * self.own_gradients[mine].mean(axis=0) for mine in rows]


def inversions(scene: Scene, size: int, epsilon: float, effort: Effort) -> Figures:
    """What inversion draws from each view of one step on ``size`` records each; noise of ``epsilon`` alone."""
    rows = scene.draw(size, 0)
    found: Figures = {}
    attack = Inversion(scene.gradient, scene.known, effort.steps, effort.starts)
    for view, seen in sight(scene.steps(rows), [epsilon], scene.seed).items():
        targets = rows[: INVERTED[view]] if view in INVERTED else rows.reshape(1, -1)
        labels = scene.everyone.labels[targets]
        drawn, guessed = attack.invert(np.stack(seen[: len(targets)]), labels, scene.seed), attack.guess(labels)
        for name, images in ((view, drawn), (f"{view}.guess", guessed)):
            found |= _mean(f"inversion.{size}.{name}", [likeness(*pair, scene.everyone) for pair in zip(images, targets, strict=True)])
    return found


def _mean(name: str, found: Sequence[Likeness]) -> Figures:
    return {f"{name}.{figure}": float(np.mean([getattr(one, figure) for one in found])) for figure in ("correlation", "psnr", "found")}


def memberships(scene: Scene, size: int, epsilons: Sequence[float], effort: Effort) -> Figures:
    """Who can be told to be a member of the first institution's records, from each view of one step; pooled over trials."""
    usual = np.stack([scene.own_gradients[scene.halves[0]][scene.known.labels == label].mean(axis=0) for label in range(len(TASK.labels))])
    scores: dict[str, tuple[list[float], list[float]]] = {}
    for trial in range(effort.members // size):
        rows = scene.draw(size, trial)
        strangers = _strangers(scene, rows, trial)
        for view, seen in sight(scene.steps(rows), epsilons, derive(scene.seed, size, trial)).items():
            others = {view: strangers} | ({"whose": rows[1:].reshape(-1)} if view == "sum" else {})
            for name, compared in others.items():
                for kept, asked in zip(scores.setdefault(name, ([], [])), (rows[0], compared), strict=True):
                    direction = seen[0] / np.linalg.norm(seen[0])
                    kept += alignment(direction, scene.own_gradients[asked], usual[scene.everyone.labels[asked]]).tolist()
    return {f"membership.{size}.{name}": auc(np.array(members), np.array(others)) for name, (members, others) in scores.items()}


def _strangers(scene: Scene, rows: Rows, trial: int) -> Rows:
    # For each of the first institution's records one of the same label that nobody has learnt from.
    random, pool = generator(scene.seed, "strangers", trial), np.setdiff1d(scene.halves[1], rows)
    return np.array([random.choice(pool[scene.everyone.labels[pool] == scene.everyone.labels[row]]) for row in rows[0]], np.int64)


def trained(scene: Scene, epsilons: Sequence[float]) -> Figures:
    """Who can be told to be a member from each view of a whole round of local training: held-out records are the others."""
    sites = [
        hold_out(one, HELD_OUT, seed=scene.seed, site=name) for name, one in deal(scene.everyone, SITES, ALPHA, seed=scene.seed).items()
    ]
    before, settings = to_vector(scene.student), preset("digits")
    alone = settings["distillation"].model_copy(update={"teacher": "none"})
    updates = []
    for place, site in enumerate(sites):
        distil(scene.student, None, site.train, settings["training"], alone, seed=derive(scene.seed, "attack", place))
        updates.append(to_vector(scene.student) - before)
        load_vector(scene.student, before)
    found = {}
    for view, seen in sight(updates, epsilons, scene.seed).items():
        each = zip(sites, list(seen) * (SITES // len(seen)), strict=True)
        areas = [auc(loss_drop(scene.student, one, site.train), loss_drop(scene.student, one, site.test)) for site, one in each]
        found[f"membership.training.{view}"] = float(np.mean(areas))
    return found


def measure(seed: int, epsilons: Sequence[float], effort: Effort) -> Figures:
    """All figures of one seed."""
    scene = Scene(seed, read_digits())
    found = trained(scene, epsilons)
    for size in effort.sizes:
        found |= memberships(scene, size, epsilons, effort) | inversions(scene, size, max(epsilons), effort)
    return found


def claims(found: Sequence[Mapping[str, float]]) -> Iterator[Claim]:
    """Medians over seeds, beside what a guess or a coin does."""
    units = {"correlation": "correlation", "psnr": "dB", "found": "fraction"}
    for name in sorted(found[0]):
        attack, _, figure = name.rpartition(".")
        if attack.endswith(".guess"):
            continue
        values = [one[name] for one in found]
        if name.startswith("inversion"):
            guess = float(np.median([one[f"{attack}.guess.{figure}"] for one in found]))
            yield claim(name, values, units[figure], baseline=guess)
        else:
            yield claim(name, values, "AUC", baseline=0.5)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures and reports."""
    options = parser(__doc__ or "", seeds=3)
    options.add_argument("--epsilon", type=float, action="append", help=f"noise of the last view, again for more (default {EPSILONS})")
    options.add_argument("--quick", action="store_true", help="one seed, one size, hardly any effort; nothing is kept")
    chosen = options.parse_args(arguments)
    chosen.no_keep = chosen.no_keep or chosen.quick
    effort = Effort(sizes=SIZES[:1], steps=3, starts=2, members=2) if chosen.quick else Effort()
    found = []
    for seed in range(1 if chosen.quick else chosen.seeds):
        found.append(measure(seed, chosen.epsilon or EPSILONS, effort))
        print(f"seed {seed}: {len(found[-1])} figures", file=sys.stderr)
    report("privacy_attack", list(claims(found)), chosen)


if __name__ == "__main__":
    main()
