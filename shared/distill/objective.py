"""The whole loss: a declared list of weighted terms."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from shared.distill.attention_alignment import AttentionAlignment
from shared.distill.decoupled import DecoupledTargets
from shared.distill.depth import Wanted, everything
from shared.distill.difficulty import record_weights
from shared.distill.embedding_alignment import EmbeddingAlignment
from shared.distill.hard_labels import HardLabels
from shared.distill.heads import Heads, WithinHeads
from shared.distill.hidden_alignment import HiddenAlignment
from shared.distill.pseudo_labels import PseudoLabels
from shared.distill.relation_alignment import RelationAlignment
from shared.distill.relational import RelationalTargets
from shared.distill.running_scale import RunningScale
from shared.distill.soft_targets import SoftTargets
from shared.distill.strategies import Distances
from shared.distill.task_weights import TaskWeights
from shared.distill.term import Term
from shared.distill.virtual import VirtualTeacher
from shared.errors import CheckpointError
from shared.models.features import Features
from shared.settings import DistillationSettings

Declared = list[tuple[str, float, Term]]
"""Name, weight and term; the name is that of the term's parameters in the alignment file."""
ALIGNED = ("embedding", "hidden", "attention")
"""Terms that look inside: only their scale is arbitrary."""


class Objective(nn.Module):
    """``sum_i weight_i * mean_b(w_b * term_i,b) / s_i`` over terms i and records b.

    ``w_b`` are the records' weights (``difficulty.py``) in every term but the hard labels', and ``s_i`` the running means of the
    terms in ``scaled`` (``running_scale.py``); both are 1 unless the settings ask for them. Where a task has heads, each record's
    losses also have the factor of its head, which ``tasks`` knows (``task_weights.py``).
    """

    def __init__(
        self,
        declared: Declared,
        settings: DistillationSettings | None = None,
        scaled: Collection[str] = (),
        tasks: TaskWeights | None = None,
    ) -> None:
        """``settings``: for the difficulty; ``None`` is none."""
        super().__init__()
        self.weights = {name: weight for name, weight, _ in declared}
        self.terms = nn.ModuleDict({name: term for name, _, term in declared})
        self.scales = nn.ModuleDict({name: RunningScale() for name in self.terms if name in scaled})
        self.settings, self.tasks = settings, tasks

    def forward(self, student: Features, teacher: Features | None, labels: Tensor, distrust: Tensor | None = None) -> Tensor:
        """A scalar; ``labels`` int64 ``(batch,)``, -1 where there is none. What the teacher teaches is divided by ``distrust``."""
        records = self._records(student, teacher, labels)
        tasks = self.tasks(labels) if self.tasks is not None else None
        total, by_record = student.logits.new_zeros(()), torch.zeros(len(labels), device=labels.device)
        for name, term in self.terms.items():
            losses = term(student, teacher, labels)
            by_record = by_record + self.weights[name] * losses.detach()
            value = _mean(losses, tasks, None if name == "hard" else records)
            value = self.scales[name](value) if name in self.scales else value
            total = total + self.weights[name] * (value if distrust is None or name == "hard" else value / distrust)
        if self.tasks is not None:
            self.tasks.see(by_record, labels)
            total = total + self.tasks.penalty(labels)
        return total

    def _records(self, student: Features, teacher: Features | None, labels: Tensor) -> Tensor | None:
        if self.settings is None or not self.settings.difficulty_weight:
            return None
        return record_weights(student, teacher, labels, self.settings.difficulty, self.settings.difficulty_weight)


def declare(
    settings: DistillationSettings,
    student: Features,
    teacher: Features | None,
    generator: torch.Generator,
    wanted: Wanted | None = None,
    *,
    heads: Heads | None = None,
    grid: bool = False,
) -> Objective:
    """The objective that the settings ask for; without a teacher, hard labels alone, unless it is a virtual one. Terms of weight 0
    are not computed.

    ``student`` and ``teacher`` are features of any record, for their shapes; the teacher's hold the places ``wanted``
    (:func:`shared.distill.depth.wanted`; ``None``: all its layers). ``generator`` fills the projections. With ``heads`` each
    record's output is compared within its head, and its states by the head's strategy, ``grid`` where tokens are places in an image.
    Raises :class:`CheckpointError` where the teacher shows other places than those.
    """
    hard: Declared = [("hard", 1.0 - settings.soft_weight, HardLabels())]
    if settings.teacher == "virtual":
        declared = [*hard, ("soft", settings.soft_weight, VirtualTeacher(settings.temperature, settings.correct_probability))]
    elif teacher is None:
        declared = [("hard", 1.0, HardLabels())]
    elif settings.teacher == "pseudo":
        declared = [*hard, ("pseudo", settings.soft_weight, PseudoLabels(settings.confidence))]
    else:
        places, distances = _shown(teacher, wanted), Distances(heads, grid=grid)
        declared = [
            *hard,
            ("soft", settings.soft_weight, _output(settings)),
            *_inside(settings, student, teacher, generator, places, distances),
        ]
    declared = [(name, weight, _within(term, heads)) for name, weight, term in declared if weight > 0]
    tasks = TaskWeights(heads, settings.task_weighting) if heads is not None else None
    return Objective(declared, settings, ALIGNED if settings.adaptive_scale else (), tasks)


def needs_inside(settings: DistillationSettings) -> bool:
    """Whether any term looks past the teacher's logits."""
    return settings.embedding_weight > 0 or settings.hidden_weight > 0 or settings.attention_weight > 0


def token_by_token(student: Features, teacher: Features) -> bool:
    """Whether states pair by token: a teacher that knows no padding where the student does has averaged over tokens of its own."""
    return student.mask is None or teacher.mask is not None


def _output(settings: DistillationSettings) -> Term:
    match settings.output_loss:
        case "kl":
            return SoftTargets(settings.temperature)
        case "dkd":
            return DecoupledTargets(settings.temperature, settings.dkd_alpha, settings.dkd_beta)
        case "dist":
            return RelationalTargets(settings.temperature)


def _within(term: Term, heads: Heads | None) -> Term:
    # Terms that look inside know no labels.
    output = isinstance(term, HardLabels | SoftTargets | DecoupledTargets | RelationalTargets | VirtualTeacher | PseudoLabels)
    return WithinHeads(term, heads) if heads is not None and output else term


def _mean(losses: Tensor, *factors: Tensor | None) -> Tensor:
    for factor in factors:
        losses = losses if factor is None else factor * losses
    return losses.mean()


def _inside(
    settings: DistillationSettings,
    student: Features,
    teacher: Features,
    generator: torch.Generator,
    places: Wanted,
    distances: Distances,
) -> Declared:
    # A teacher that shows only its logits has no places, whatever was wanted of it.
    states, maps = student.hidden_states and places.hidden, student.attentions and places.attentions
    decay, chosen, embeddings = settings.depth_decay, settings.hidden_map, settings.embedding_weight > 0
    declared: Declared = []
    if embeddings and states:
        declared.append(("embedding", settings.embedding_weight, EmbeddingAlignment(student, teacher, generator)))
    if settings.hidden_weight and states:
        term = HiddenAlignment(
            student, teacher, decay, generator, wanted=places, hidden_map=chosen, embeddings=not embeddings, distances=distances
        )
        declared.append(("hidden", settings.hidden_weight, term))
    relations = settings.attention_loss == "relations"
    if settings.attention_weight and (states and token_by_token(student, teacher) if relations else maps):
        kind = RelationAlignment if relations else AttentionAlignment
        declared.append(("attention", settings.attention_weight, kind(student, teacher, decay, wanted=places, hidden_map=chosen)))
    return declared


def _shown(teacher: Features, wanted: Wanted | None) -> Wanted:
    if wanted is None:
        return everything(teacher)
    found = (len(teacher.hidden_states), len(teacher.attentions))
    if found[0] not in (0, len(wanted.hidden)) or found[1] not in (0, len(wanted.attentions)):
        raise CheckpointError(
            f"the teacher's targets hold {found[0]} hidden states and {found[1]} attention maps, but the objective needs "
            f"{len(wanted.hidden)} and {len(wanted.attentions)}; remove the targets, and they are made again"
        )
    return Wanted(wanted.hidden if found[0] else (), wanted.attentions if found[1] else ())
