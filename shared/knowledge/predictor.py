"""Models of link prediction: how well an entity answers "which tail?" or "which head?", and the loss by which they learn it.

Each of the three turns the question into a vector of an entity's width, so that all entities are scored as answers by one product of
matrices. Scores are those of torch-geometric's models of the same names, which the tests compare; those learn from one wrong answer a
triple, which on the 270,400 triples of HPO ends where ranking by popularity does (docs/knowledge.md).
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

Model = Literal["distmult", "complex", "rotate"]
Side = Literal["tail", "head"]
"""Which end of a triple is asked for; the other end is known."""


def product(one: Tensor, other: Tensor, *, conjugate: bool = False) -> Tensor:
    """The product of complex vectors ``(…, width)``, real parts first; of ``one`` and the conjugate of ``other`` where it is wanted."""
    (real, imaginary), (real_too, imaginary_too) = one.chunk(2, dim=-1), other.chunk(2, dim=-1)
    if conjugate:
        imaginary_too = -imaginary_too
    return torch.cat([real * real_too - imaginary * imaginary_too, real * imaginary_too + imaginary * real_too], dim=-1)


class LinkPredictor(nn.Module):
    """DistMult (Yang et al. 2015), ComplEx (Trouillon et al. 2016) or RotatE (Sun et al. 2019).

    ``entities (E, width)``; of the complex two, the first half are real parts and the others imaginary. ``relations``: ``(R, width)``, of
    RotatE angles ``(R, width / 2)``.
    """

    def __init__(self, model: Model, entities: int, relations: int, width: int, random: torch.Generator) -> None:
        super().__init__()
        self.model: Model = model
        self.entities = nn.Parameter(torch.randn(entities, width, generator=random) * width**-0.5)
        kinds = torch.randn(relations, width, generator=random)
        self.relations = nn.Parameter(kinds if model != "rotate" else kinds[:, : width // 2] * math.pi)

    def questions(self, known: Tensor, kinds: Tensor, side: Side) -> Tensor:
        """``(n, width)``: what an answer to (known, relation, ?), or (?, relation, known), must be like. ``known (n, width)`` and ``kinds``
        are rows of :attr:`entities` and :attr:`relations`.
        """
        if self.model == "distmult":
            return known * kinds
        if self.model == "rotate":
            kinds = torch.cat([kinds.cos(), kinds.sin()], dim=-1)
        return product(known, kinds, conjugate=side == "head")

    def match(self, questions: Tensor, answers: Tensor) -> Tensor:
        """Scores ``(n, m)`` of ``answers (m, width)``: the dot product, of RotatE the distance with a minus."""
        if self.model == "rotate":
            return -torch.cdist(questions, answers)
        return questions @ answers.T

    def forward(self, heads: Tensor, relations: Tensor, tails: Tensor) -> Tensor:
        """The score of each triple ``(n,)``."""
        return self._pairs(self.questions(self.entities[heads], self.relations[relations], "tail"), self.entities[tails])

    def loss(self, triples: Tensor, negatives: int, penalty: float, random: torch.Generator) -> Tensor:
        """The mean surprise, for each side, that an end is the right one among it and ``negatives`` drawn entities, which stand for all
        others (a softmax over a sample; Jean et al. 2015, section 3), and ``penalty`` times the sum of cubes of what the triple uses
        (Lacroix et al. 2018, eq. 4; angles have no size). ``triples (n, 3)``. Where all entities are no more than ``negatives`` none is
        drawn and all serve.
        """
        (heads, relations, tails), drawn = triples.T, [self._drawn(negatives, random) for _ in range(2)]
        # One look-up of all rows: each has a gradient as large as the table.
        rows = nn.functional.embedding(torch.cat([heads, tails, *drawn]), self.entities)
        head, tail, *others = torch.split(rows, [len(heads), len(tails), *(len(part) for part in drawn)])
        kinds = nn.functional.embedding(relations, self.relations)
        asked = (self.questions(head, kinds, "tail"), self.questions(tail, kinds, "head"))
        right = (self._pairs(asked[0], tail), self._pairs(asked[1], head))
        wrong = [
            self._wrong(*parts, spared=len(drawn[0]) == len(self.entities))
            for parts in zip(asked, others, drawn, (tails, heads), strict=True)
        ]
        surprise = torch.stack([nn.functional.softplus(bad - good).mean() for bad, good in zip(wrong, right, strict=True)]).sum()
        used = _cubes(head) + _cubes(tail) + (0.0 if self.model == "rotate" else _cubes(kinds))
        total: Tensor = surprise + penalty * used
        return total

    def _drawn(self, negatives: int, random: torch.Generator) -> Tensor:
        count = len(self.entities)
        return torch.randint(count, (negatives,), generator=random) if negatives < count else torch.arange(count)

    def _wrong(self, asked: Tensor, answers: Tensor, drawn: Tensor, wanted: Tensor, *, spared: bool) -> Tensor:
        """The logarithm ``(n,)`` of the summed weights of all wrong answers, from those of the drawn ones."""
        scores = self.match(asked, answers)
        # The right answer is none of the wrong ones. It is seldom drawn, so its places are written, and no second table is made.
        met = (drawn == wanted.unsqueeze(1)).nonzero(as_tuple=True)
        scores = scores.index_put(met, torch.tensor(-torch.inf)) if len(met[0]) else scores
        return torch.logsumexp(scores, dim=1) + math.log((len(self.entities) - 1) / (len(drawn) - spared))

    def _pairs(self, questions: Tensor, answers: Tensor) -> Tensor:
        if self.model == "rotate":
            distances: Tensor = torch.linalg.vector_norm(questions - answers, dim=-1)
            return -distances
        return (questions * answers).sum(dim=-1)


def _cubes(values: Tensor) -> Tensor:
    return values.abs().pow(3).sum(dim=-1).mean()
