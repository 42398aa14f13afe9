"""A student that starts as a part of a larger model of its family: some of its layers, and of each the weightiest parts.

Layers are taken evenly (Sanh et al. 2019, DistilBERT); heads, inner neurons and the dimensions between layers by the
magnitude of the weights that write and read them; a factorised embedding by the leading principal directions of the words.
Where nothing is smaller, everything is copied, and the student is the model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from shared.config import FederationConfig
from shared.errors import CheckpointError
from shared.models.build import build
from shared.models.checkpoint import load_model
from shared.models.imagenet import SUFFIX, load_imagenet
from shared.models.network import Network
from shared.models.pretrained import CONFIG, WEIGHTS, load_pretrained
from shared.models.text import TextTransformer, TokenEmbedding
from shared.settings import NetworkSettings
from shared.task import ImageTask, Task
from shared.work import Normalisation

_WIDTH, _INNER, _HEADS, _JOINED = "width", "inner", "heads", "joined"
_AXES: Mapping[str, tuple[str, ...]] = {
    "query_key_value.weight": (_JOINED, _WIDTH),
    "query_key_value.bias": (_JOINED,),
    "mix.weight": (_WIDTH, _HEADS),
    "widen.weight": (_INNER, _WIDTH),
    "widen.bias": (_INNER,),
    "narrow.weight": (_WIDTH, _INNER),
}
"""What the axes of a block's parameters are; those of all others are the width."""
RIDGE = 1e-6
"""Keeps the fit of an embedding's map solvable where directions of it are constant; of the mean diagonal."""


def first_student(config: FederationConfig, normalisation: Normalisation, *, seed: int | None = None) -> Network:
    """The student before any round: from ``initial_path`` if the federation has one, else random from ``seed`` (default: its own).

    Raises as :func:`initial_student`.
    """
    seed = config.seed if seed is None else seed
    if config.initial_path is None:
        return build(config.student, config.task, normalisation, seed=seed)
    return initial_student(config.initial_path, config.student, config.task, normalisation, seed=seed)


def initial_student(path: Path, settings: NetworkSettings, task: Task, normalisation: Normalisation, *, seed: int) -> Network:
    """The student that ``initial_path`` gives: derived from a model of fedstill's (a file, or a teacher's folder), a pretrained BERT or
    an EfficientNet-lite0.

    What the model has not, such as a head for other labels, is new, from ``seed``. Raises :class:`MissingFileError`, and
    :class:`CheckpointError` where the model is damaged or of another family, tokeniser or input, or is the smaller one.
    """
    student = build(settings, task, normalisation, seed=seed)
    if isinstance(task, ImageTask) and path.suffix == SUFFIX:
        source = load_imagenet(path, task, normalisation)
    elif not (path / CONFIG).exists():
        source = load_model(weights_file(path))
    elif task.family == "text":
        source = load_pretrained(path, task)
    else:
        raise CheckpointError(f"{path} holds a model of texts, but the task is one of family '{task.family}'; give another initial_path")
    derive_from(source, student)
    return student


def weights_file(path: Path) -> Path:
    """The file of an ``initial_path`` that holds its weights."""
    return path / WEIGHTS if path.is_dir() else path


def derive_from(source: Network, student: Network) -> None:
    """Sets the student's weights to those of the parts of ``source`` that fit into it, in place.

    Convolutional nets take the leading channels of what has the same name. The normalisation stays the student's own.
    Raises :class:`CheckpointError` for another kind of model, another input, or a source that is smaller.
    """
    _check(source, student)
    with torch.no_grad():
        if not hasattr(student, "blocks"):
            _copy(source, student, torch.arange(student.settings.width))
            return
        kept = strongest(_width_importance(source), student.settings.width)
        _copy(source, student, kept)
        if isinstance(source, TextTransformer) and isinstance(student, TextTransformer):
            _derive_embedding(source.embedding, student.embedding, kept)
        for own, other in zip(_blocks(student), chosen_layers(len(_blocks(student)), len(_blocks(source))), strict=True):
            _derive_block(_blocks(source)[other], own, kept)


def chosen_layers(wanted: int, given: int) -> tuple[int, ...]:
    """Which of ``given`` layers ``wanted`` ones start as: evenly spaced, the last always among them."""
    # As layers are mapped for alignment (shared/distill/depth.py): each starts as the one that will teach it.
    return tuple((2 * layer * given + wanted) // (2 * wanted) - 1 for layer in range(1, wanted + 1))


def strongest(importance: Tensor, count: int) -> Tensor:
    """The positions of the ``count`` largest of ``importance``, in their order; of equal ones the first."""
    return importance.argsort(descending=True, stable=True)[:count].sort().values


@dataclass(frozen=True)
class _Selection:
    """Positions within the source's heads side by side, its joined projections (three times as many) and its inner layer."""

    heads: Tensor
    joined: Tensor
    inner: Tensor


def _derive_block(source: nn.Module, student: nn.Module, kept: Tensor) -> None:
    chosen = _select(source, student)
    places = {_WIDTH: kept, _INNER: chosen.inner, _HEADS: chosen.heads, _JOINED: chosen.joined}
    for name, parameter in student.named_parameters():
        value: Tensor = source.get_parameter(name)
        for axis, kind in enumerate(_AXES.get(name, (_WIDTH,))):
            value = value.index_select(axis, places[kind])
        parameter.copy_(value)
    if not _attends(student):
        return
    # Scores are divided by the root of a head's size: a smaller head must not make them larger.
    size, was = _head_width(student), _head_width(source)
    for kind in ("weight", "bias"):
        student.get_parameter(f"query_key_value.{kind}")[: len(chosen.heads)].mul_((size / was) ** 0.5)


def _select(source: nn.Module, student: nn.Module) -> _Selection:
    inner = source.get_parameter("widen.weight").square().sum(dim=1) * source.get_parameter("narrow.weight").square().sum(dim=0)
    kept = strongest(inner, len(student.get_parameter("widen.bias")))
    if not _attends(source):
        nothing = torch.zeros(0, dtype=torch.int64)
        return _Selection(nothing, nothing, kept)
    heads, was, size = _heads(source), _head_width(source), _head_width(student)
    query, key, value = source.get_parameter("query_key_value.weight").square().sum(dim=1).reshape(3, heads, was)
    mixed = source.get_parameter("mix.weight").square().sum(dim=0).reshape(heads, was)
    best = strongest((value * mixed).sum(dim=1), _heads(student))
    asking = torch.cat([head * was + strongest((query * key)[head], size) for head in best])
    telling = torch.cat([head * was + strongest((value * mixed)[head], size) for head in best])
    return _Selection(telling, torch.cat([asking, heads * was + asking, 2 * heads * was + telling]), kept)


def _width_importance(source: Network) -> Tensor:
    """What the blocks write into, times what they read from, each dimension between them: ``(width,)``."""
    written, read = torch.zeros(source.settings.width), torch.zeros(source.settings.width)
    for block in _blocks(source):
        for name, parameter in block.named_parameters():
            if name in ("mix.weight", "narrow.weight"):
                written += parameter.square().sum(dim=1)
            elif name in ("query_key_value.weight", "widen.weight"):
                read += parameter.square().sum(dim=0)
    return written * read


def _copy(source: Network, student: Network, kept: Tensor) -> None:
    """What is not within a block or an embedding of words, by name; a parameter that has no counterpart of its size stays."""
    given: dict[str, Tensor] = dict(source.named_parameters())
    widths = (source.settings.width, student.settings.width)
    skipped = ("blocks.", "embedding.", *(() if source.task.labels == student.task.labels else ("head.",)))
    for name, parameter in student.named_parameters():
        value = given.get(name)
        if name.startswith(skipped) or value is None or value.dim() != parameter.dim():
            continue
        for axis, (was, size) in enumerate(zip(value.shape, parameter.shape, strict=True)):
            if (was, size) == widths:
                value = value.index_select(axis, kept)
            elif size < was:
                value = value.narrow(axis, 0, size)
        if value.shape == parameter.shape:
            parameter.copy_(value)


def _derive_embedding(source: TokenEmbedding, student: TokenEmbedding, kept: Tensor) -> None:
    if isinstance(student.widen, nn.Identity):
        if not isinstance(source.widen, nn.Identity):
            raise CheckpointError("the initial model factorises its embedding; set student.embedding_width to a width of at most its own")
        _copy_embedding(source, student, kept)
    elif student.words.shape == source.words.shape and not isinstance(source.widen, nn.Identity):
        _copy_embedding(source, student, torch.arange(source.words.shape[1]))
        student.widen.get_parameter("weight").copy_(source.widen.get_parameter("weight")[kept])
        student.widen.get_parameter("bias").copy_(source.widen.get_parameter("bias")[kept])
    else:
        _factorise(source, student, kept)


def _copy_embedding(source: TokenEmbedding, student: TokenEmbedding, places: Tensor) -> None:
    student.words.copy_(source.words[:, places])
    student.positions.copy_(source.positions[: len(student.positions), places])
    student.norm.weight.copy_(source.norm.weight[places])
    student.norm.bias.copy_(source.norm.bias[places])


def _factorise(source: TokenEmbedding, student: TokenEmbedding, kept: Tensor) -> None:
    """Words and positions in the leading principal directions of the words; the map back is the least squares' one."""
    words = source.words.double()
    centre = words.mean(dim=0)
    directions = torch.linalg.eigh((words - centre).T @ (words - centre)).eigenvectors.flip(1)[:, : student.words.shape[1]]
    student.words.copy_((words - centre) @ directions)
    student.positions.copy_((source.positions[: len(student.positions)].double()) @ directions)
    nn.init.ones_(student.norm.weight)
    nn.init.zeros_(student.norm.bias)
    # Each word once, at a position that goes round: what the student's norm makes of it, and what the source does.
    places = torch.arange(len(words)) % len(student.positions)
    found = functional.layer_norm(student.words + student.positions[places], student.norm.normalized_shape, eps=student.norm.eps)
    wanted = source.widen(source.norm(source.words + source.positions[places]))[:, kept]
    weight, bias = _least_squares(found.double(), wanted.double())
    student.widen.get_parameter("weight").copy_(weight)
    student.widen.get_parameter("bias").copy_(bias)


def _least_squares(found: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """``weight (width, inner)`` and ``bias (width,)`` that bring ``found (n, inner)`` nearest to ``wanted (n, width)``."""
    centre, target = found.mean(dim=0), wanted.mean(dim=0)
    gram = (found - centre).T @ (found - centre)
    ridge = RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weight = torch.linalg.solve(gram + ridge, (found - centre).T @ (wanted - target)).T
    return weight, target - weight @ centre


def _check(source: Network, student: Network) -> None:
    if type(source) is not type(student) or source.task.model_copy(update={"labels": student.task.labels}) != student.task:
        raise CheckpointError("the initial model is one of another family or input than the student; give one for the same task")
    pairs = {"depth": (student.settings.depth, source.settings.depth), "width": (student.settings.width, source.settings.width)}
    _check_sizes(pairs)
    if hasattr(student, "blocks"):
        for own, place in zip(_blocks(student), chosen_layers(student.settings.depth, source.settings.depth), strict=True):
            other = _blocks(source)[place]
            if _attends(own):
                sizes = (_head_width(own), _head_width(other))
                _check_sizes({"heads": (_heads(own), _heads(other)), "size of a head (width / heads)": sizes})
            inner = (len(own.get_parameter("widen.bias")), len(other.get_parameter("widen.bias")))
            _check_sizes({"width of a feed-forward part": inner})
    elif student.settings.convolution != source.settings.convolution:
        raise CheckpointError("the initial model convolves in another way than the student; set student.convolution to the model's")
    else:
        given = dict(source.named_parameters())
        names = [name for name, _ in student.named_parameters() if name.startswith("stages.") and name in given]
        for pair in (pair for name in names for pair in zip(student.get_parameter(name).shape, given[name].shape, strict=True)):
            _check_sizes({"width inside a block": pair})


def _check_sizes(pairs: Mapping[str, tuple[int, int]]) -> None:
    for name, (wanted, given) in pairs.items():
        if wanted > given:
            raise CheckpointError(
                f"the student's {name} is {wanted}, the initial model's only {given}; lower it, or leave out initial_path"
            )


def _blocks(model: Network) -> nn.ModuleList:
    blocks = model.get_submodule("blocks")
    assert isinstance(blocks, nn.ModuleList)
    return blocks


def _attends(block: nn.Module) -> bool:
    return hasattr(block, "query_key_value")


def _heads(block: nn.Module) -> int:
    return int(getattr(block, "heads", 1))


def _head_width(block: nn.Module) -> int:
    return block.get_parameter("mix.weight").shape[1] // _heads(block)
