"""The settings that travel from federation.toml into a round's plan: what is trained and how it is distilled."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from shared.frozen import Frozen


class NetworkSettings(Frozen):
    """Size and kind of a teacher or a student.

    ``architecture`` ``auto`` is a ``transformer`` over columns for tables, a ``convolutional`` residual net for images and an
    ``encoder`` for texts; others are a ``transformer`` over patches for images and a ``decoder`` for texts.

    ``width`` is the dimension of a token, or the channels of a convolutional net's first stage, ``depth`` the number of
    blocks, ``heads`` the attention heads (must divide ``width``; a convolutional net has none). ``expansion`` is the width
    of a transformer's feed-forward parts in widths (default: 2, texts 4), ``patch`` the side of the patches of an image in
    pixels (default: an eighth of the image's, at least 1). Texts: ``embedding_width`` keeps a large vocabulary in fewer
    numbers (default: ``width``), and ``pooling`` is what is classified: the ``mean`` of the tokens (default of an encoder),
    the ``first`` or the ``last`` (default of a decoder).
    """

    width: int = Field(ge=4, le=4096)
    depth: int = Field(ge=1, le=64)
    heads: int = Field(default=4, ge=1, le=64)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    architecture: Literal["auto", "convolutional", "transformer", "encoder", "decoder"] = "auto"
    expansion: int | None = Field(default=None, ge=1, le=16)
    patch: int | None = Field(default=None, ge=1, le=256)
    embedding_width: int | None = Field(default=None, ge=4, le=4096)
    pooling: Literal["auto", "mean", "first", "last"] = "auto"


class TrainingSettings(Frozen):
    """Local optimisation of one round.

    A batch is computed in ``accumulation`` parts, for models that do not fit into memory with all of it. ``precision`` of the
    matrix products: ``auto`` is bfloat16 on a GPU and float32 on a CPU. With a ``patience`` above 0 a tenth of the records
    is held out of the learning, and a fit ends after that many epochs without a better loss on it, with the best weights.
    """

    epochs: int = Field(default=4, ge=1, le=1000)
    batch_size: int = Field(default=32, ge=1, le=65_536)
    learning_rate: float = Field(default=2e-3, gt=0.0, le=10.0)
    weight_decay: float = Field(default=1e-2, ge=0.0, le=10.0)
    accumulation: int = Field(default=1, ge=1, le=1024)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    patience: int = Field(default=0, ge=0, le=1000)


class DistillationSettings(Frozen):
    """How the teacher teaches (Hinton et al. 2015; Jiao et al. 2020). A weight of 0 turns its term off.

    ``soft_weight`` weighs the soft targets at ``temperature`` against the hard labels (``1 - soft_weight``);
    ``hidden_weight`` and ``attention_weight`` scale the alignment terms, whose depth weights are
    ``w_l = depth_decay^(l / L)`` for hidden states and ``1 - w_l`` for attention maps. ``label_correction`` is how much
    of the difference between an institution's label shares and the federation's is taken out of its lessons
    (``shared/distill/label_shift.py``): 1 where institutions see other labels of the same kind of record.

    ``views`` is how many versions of each record the teacher is asked for: 1 is the record as it is, more add augmented ones
    drawn from stored seeds, so that teacher and student see the same. ``top_k`` keeps only that many of the teacher's largest
    logits; 0 keeps all.
    """

    teacher: Literal["own", "none"] = "own"
    temperature: float = Field(default=2.0, gt=0.0, le=100.0)
    soft_weight: float = Field(default=0.7, ge=0.0, le=1.0)
    hidden_weight: float = Field(default=0.1, ge=0.0, le=1000.0)
    attention_weight: float = Field(default=0.1, ge=0.0, le=1000.0)
    depth_decay: float = Field(default=0.5, gt=0.0, le=1.0)
    label_correction: float = Field(default=0.0, ge=0.0, le=1.0)
    views: int = Field(default=1, ge=1, le=1000)
    top_k: int = Field(default=0, ge=0, le=100_000)
