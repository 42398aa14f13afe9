"""The settings that travel from federation.toml into a round's plan: what is trained and how it is distilled."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from shared.frozen import Frozen

DeviceName = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:[0-9]{1,3})?)$")]
"""Where to compute: ``auto`` (the first CUDA GPU, else the CPU), ``cpu``, ``cuda``, ``cuda:N`` or ``mps``."""


Convolution = Literal["standardised", "plain", "separable", "factorised"]
"""How the k × k convolutions of a residual block are computed (``shared/models/convolutions.py``)."""
Positive = Annotated[int, Field(ge=1, le=65_536)]


class NetworkSettings(Frozen):
    """Size and kind of a teacher or a student.

    ``architecture`` ``auto`` is a ``transformer`` over columns for tables, a ``convolutional`` residual net for images and an
    ``encoder`` for texts; others are a ``perceptron`` for tables (many columns, no attention), a ``transformer`` over patches or a
    ``mobile`` net for images and a ``decoder`` for texts.

    ``width`` is the dimension of a token, or the channels of a convolutional net's first stage, ``depth`` the number of
    blocks, ``heads`` the attention heads (must divide ``width``; a convolutional net has none). A mobile net is the first ``depth``
    blocks of EfficientNet-lite0, its ``width`` the stem's channels (the full net: 32 and 16). ``expansion`` is the width
    of a transformer's feed-forward parts in widths (default: 2, texts 4), ``patch`` the side of the patches of an image in
    pixels (default: an eighth of the image's, at least 1). Texts: ``embedding_width`` keeps a large vocabulary in fewer
    numbers (default: ``width``), and ``pooling`` is what is classified: the ``mean`` of the tokens (default of an encoder),
    the ``first`` or the ``last`` (default of a decoder).

    The rest are shapes that compression makes (``docs/pruning.md``); what is a list has one entry a block, in their order. ``inner`` is
    the width inside a block (feed-forward, or between a convolutional block's two ends), ``head_width`` that of an attention head
    (default: ``width / heads``), ``block_heads`` the heads of each block where they differ, ``stage_blocks`` the blocks of each stage
    of a convolutional net. ``convolution`` is how a residual net's blocks convolve: ``standardised`` while they are learnt from nothing,
    then ``plain`` (any kernel), ``separable`` (depthwise and pointwise) or ``factorised`` (1 × k, then k × 1). ``activation`` ``relu``
    takes the place of a text's GELU.
    """

    width: int = Field(ge=4, le=4096)
    depth: int = Field(ge=1, le=64)
    heads: int = Field(default=4, ge=1, le=64)
    dropout: float = Field(default=0.0, ge=0.0, lt=1.0)
    architecture: Literal["auto", "convolutional", "mobile", "perceptron", "transformer", "encoder", "decoder"] = "auto"
    expansion: int | None = Field(default=None, ge=1, le=16)
    patch: int | None = Field(default=None, ge=1, le=256)
    embedding_width: int | None = Field(default=None, ge=4, le=4096)
    pooling: Literal["auto", "mean", "first", "last"] = "auto"
    inner: Positive | Annotated[tuple[Positive, ...], Field(max_length=64)] | None = None
    head_width: int | None = Field(default=None, ge=1, le=4096)
    block_heads: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(max_length=64)] | None = None
    stage_blocks: Annotated[tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(max_length=7)] | None = None
    convolution: Convolution | Annotated[tuple[Convolution, ...], Field(max_length=64)] = "standardised"
    activation: Literal["auto", "relu"] = "auto"

    @model_validator(mode="after")
    def _one_entry_a_block(self) -> NetworkSettings:
        for name, value in (("inner", self.inner), ("block_heads", self.block_heads), ("convolution", self.convolution)):
            if isinstance(value, tuple) and len(value) != self.depth:
                raise ValueError(f"{name} has {len(value)} entries for {self.depth} blocks; give one a block")
        if self.stage_blocks is not None and sum(self.stage_blocks) != self.depth:
            raise ValueError(f"stage_blocks has {sum(self.stage_blocks)} blocks in all, depth says {self.depth}; correct one")
        return self

    def inner_of(self, block: int, default: int) -> int:
        """The width inside a block; ``default`` where nothing is set."""
        inner = self.inner[block] if isinstance(self.inner, tuple) else self.inner
        return default if inner is None else inner

    def heads_of(self, block: int) -> int:
        """The attention heads of a block."""
        return self.heads if self.block_heads is None else self.block_heads[block]

    def width_of_heads(self) -> int:
        """The width of an attention head."""
        return self.width // self.heads if self.head_width is None else self.head_width

    def convolution_of(self, block: int) -> Convolution:
        """How a residual block convolves."""
        return self.convolution[block] if isinstance(self.convolution, tuple) else self.convolution


PRUNED = frozenset({"depth", "heads", "inner", "head_width", "block_heads", "stage_blocks", "convolution", "activation"})
"""The settings that compression changes; what a student reads and the width of its stream are not among them."""


class TrainingSettings(Frozen):
    """Local optimisation of one round.

    A batch is computed in ``accumulation`` parts, for models that do not fit into memory with all of it. ``precision`` of the
    matrix products: ``auto`` is bfloat16 on a GPU and float32 on a CPU. With a ``patience`` above 0 a tenth of the records
    is held out of the learning, and a fit ends after that many epochs without a better loss on it, with the best weights.
    The rate falls by a half cosine to a tenth, with ``annealing`` once over the ``run``, or anew in every ``round``.
    """

    epochs: int = Field(default=4, ge=1, le=1000)
    batch_size: int = Field(default=32, ge=1, le=65_536)
    learning_rate: float = Field(default=2e-3, gt=0.0, le=10.0)
    weight_decay: float = Field(default=1e-2, ge=0.0, le=10.0)
    accumulation: int = Field(default=1, ge=1, le=1024)
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    patience: int = Field(default=0, ge=0, le=1000)
    annealing: Literal["run", "round"] = "run"


TeacherKind = Literal["own", "mutual", "none", "virtual", "average", "pseudo"]
HiddenMap = Literal["uniform", "last", "learned"]
TaskWeighting = Literal["fixed", "uncertainty", "speed"]


class DistillationSettings(Frozen):
    """How the teacher teaches (Hinton et al. 2015; Jiao et al. 2020). A weight of 0 turns its term off.

    ``teacher`` is the institution's ``own``, that one while it learns along with the student (``mutual``: FedKD, Wu et al. 2022; of
    fedstill's own networks alone), or one that needs no model: ``none`` (hard labels alone), ``virtual`` (labels
    smoothed to ``correct_probability``, Yuan et al. 2020), ``average`` (the student's own moving average, of which
    ``average_decay`` is kept each step: 0 is the student itself, 1 the student as it arrived) or ``pseudo`` (that average where it is
    at least ``confidence`` sure of an unlabelled record). Records without a label learn from all but hard labels and ``virtual``;
    ``virtual`` and ``pseudo`` have losses of their own in place of ``output_loss``, and teach nothing inside.

    ``soft_weight`` weighs the soft targets at ``temperature`` against the hard labels (``1 - soft_weight``); ``output_loss`` is
    Hinton's ``kl``, the decoupled ``dkd`` (``dkd_alpha`` for the label, ``dkd_beta`` for the others; Zhao et al. 2022) or the
    relational ``dist`` (Huang et al. 2022). ``embedding_weight``, ``hidden_weight`` and ``attention_weight`` scale the alignment
    terms, whose depth weights are ``w_l = depth_decay^(l / L)`` for hidden states and ``1 - w_l`` for attention. ``hidden_map``
    pairs layers evenly, with the teacher's ``last``, or by a ``learned`` mixture; ``attention_loss`` compares the ``rows`` of
    attention maps, or ``relations`` among hidden states where a teacher's maps cannot be compared or are not shown.
    ``adaptive_scale`` divides each alignment term by the running mean of its own loss, so that all start at their weight.
    ``difficulty_weight`` is the power with which hard records count more in all that the teacher teaches (0: all count the same);
    hard are those of which the ``difficulty`` model, ``teacher`` or ``student``, is less sure. ``label_correction`` is how much
    of the difference between an institution's label shares and the federation's is taken out of its lessons
    (``shared/distill/label_shift.py``): 1 where institutions see other labels of the same kind of record.
    ``task_weighting`` balances the heads of a task with several, where an institution has records of more than one: ``fixed`` by their
    declared weights, by learnt ``uncertainty`` (Kendall et al. 2018), or by the ``speed`` at which they learn (Liu et al. 2019).

    ``proximal`` holds the student's weights, and ``previous_weight`` its answers, near those with which it arrived (FedProx, Li et
    al. 2020; FedGKD, Yao et al. 2021).

    ``views`` is how many versions of each record the teacher is asked for: 1 is the record as it is, more add augmented ones
    drawn from stored seeds, so that teacher and student see the same. ``top_k`` keeps only that many of the teacher's largest
    logits; 0 keeps all.
    """

    teacher: TeacherKind = "own"
    temperature: float = Field(default=2.0, gt=0.0, le=100.0)
    soft_weight: float = Field(default=0.7, ge=0.0, le=1.0)
    output_loss: Literal["kl", "dkd", "dist"] = "kl"
    dkd_alpha: float = Field(default=1.0, ge=0.0, le=1000.0)
    dkd_beta: float = Field(default=2.0, ge=0.0, le=1000.0)
    embedding_weight: float = Field(default=0.0, ge=0.0, le=1000.0)
    hidden_weight: float = Field(default=0.1, ge=0.0, le=1000.0)
    hidden_map: HiddenMap = "uniform"
    attention_weight: float = Field(default=0.1, ge=0.0, le=1000.0)
    attention_loss: Literal["rows", "relations"] = "rows"
    depth_decay: float = Field(default=0.5, gt=0.0, le=1.0)
    adaptive_scale: bool = False
    difficulty_weight: float = Field(default=0.0, ge=0.0, le=10.0)
    difficulty: Literal["teacher", "student"] = "teacher"
    label_correction: float = Field(default=0.0, ge=0.0, le=1.0)
    task_weighting: TaskWeighting = "fixed"
    correct_probability: float = Field(default=0.95, ge=0.9, lt=1.0)
    average_decay: float = Field(default=0.99, ge=0.0, le=1.0)
    confidence: float = Field(default=0.95, ge=0.0, le=1.0)
    proximal: float = Field(default=0.0, ge=0.0, le=1000.0)
    previous_weight: float = Field(default=0.0, ge=0.0, le=1000.0)
    views: int = Field(default=1, ge=1, le=1000)
    top_k: int = Field(default=0, ge=0, le=100_000)


class ProxyTerms(Frozen):
    """How answers on the proxy records are exchanged and learnt from (``shared/answers.py``, ``shared/distill/auxiliary.py``).

    ``weight`` is how much the consensus counts beside an institution's own lessons, at ``temperature``. ``bound`` is the largest
    magnitude of a logit that is answered: a record's logits are centred, and scaled down where one lies beyond it.
    """

    weight: float = Field(default=1.0, ge=0.0, le=1000.0)
    temperature: float = Field(default=2.0, gt=0.0, le=100.0)
    bound: float = Field(default=8.0, gt=0.0, le=1000.0)


class EmbeddingTerms(Frozen):
    """How the embeddings of a graph's entities hold the student's representation (``shared/knowledge/alignment.py``). A weight of 0 turns
    its term off; all are multiplied by how far the labels bear the graph out.

    ``record_weight``: the projected representation near the mean embedding of the entities that the record names, by ``record_loss``:
    ``contrastive`` among the batch, or the ``cosine`` alone. ``prototype_weight``: near its class's entity. ``smoothing``: labels
    softened by what classes share in the graph. Embeddings are pretrained by link prediction (``model``, ``width``, ``epochs``), then
    trained further with the labels for ``steps`` through ``layers`` of the ``encoder``: R-GCN, or CompGCN by what it composes with.
    """

    record_weight: float = Field(default=0.0, ge=0.0, le=1000.0)
    record_loss: Literal["contrastive", "cosine"] = "contrastive"
    prototype_weight: float = Field(default=0.0, ge=0.0, le=1000.0)
    smoothing: float = Field(default=0.0, ge=0.0, le=1.0)
    model: Literal["distmult", "complex", "rotate"] = "complex"
    width: int = Field(default=64, ge=2, le=1024, multiple_of=2)
    epochs: int = Field(default=50, ge=0, le=10_000)
    encoder: Literal["none", "rgcn", "subtract", "multiply", "correlate"] = "rgcn"
    layers: int = Field(default=1, ge=1, le=4)
    steps: int = Field(default=100, ge=0, le=100_000)


class SharedEntities(Frozen):
    """How institutions share the embeddings of entities that several of their graphs have (``docs/knowledge.md``; FedE, Chen et al.
    2021): as rows of a table behind the student in the masked vector, a row a slot of salted hashes.

    ``slots``: into how many a name may fall; with fewer than twenty times the entities of a graph, many are lost to those that fall
    together. Each round an institution goes on with link prediction for ``epochs`` over its own triples. ``scale``: how long, beside a
    student's update, a change of the rows is whose numbers move by 1.0 each: one of 0.1 is 0.1 long at the default, and clips little.
    """

    slots: int = Field(default=16_384, ge=64, le=4_194_304, multiple_of=64)
    epochs: int = Field(default=5, ge=1, le=1000)
    scale: float = Field(default=1.0, gt=0.0, le=1000.0)


class KnowledgeTerms(Frozen):
    """How a knowledge graph teaches beside the own records (``docs/knowledge.md``).

    Each round ``pool`` records are imagined from what the graph says of each class, and ``imagined`` of them are learnt beside each
    batch of own ones, with the graph's answers as targets, at ``weight`` times how far the own labels bear the graph out (0 to 1).
    ``classes``: ``shares`` imagines each class as often as it is; ``even`` all alike, and the student's answers are then for
    equally frequent classes: more is got right of rare ones, and less in all. ``embeddings`` adds terms on the inside of the student,
    for texts and images too; nothing is imagined of those. ``shared`` learns those embeddings together with the other institutions.
    """

    weight: float = Field(default=1.0, ge=0.0, le=1000.0)
    imagined: int = Field(default=16, ge=1, le=65_536)
    pool: int = Field(default=8192, ge=1, le=1_000_000)
    classes: Literal["shares", "even"] = "shares"
    embeddings: EmbeddingTerms | None = None
    shared: SharedEntities | None = None

    @model_validator(mode="after")
    def _shared_are_embeddings(self) -> KnowledgeTerms:
        if self.shared is not None and self.embeddings is None:
            raise ValueError("[knowledge.shared] shares what [knowledge.embeddings] describes and uses; add that table")
        return self
