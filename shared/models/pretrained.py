"""A pretrained BERT or DistilBERT of Hugging Face's format as a model of this package: weights only, no code of anyone's is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from shared.errors import CheckpointError
from shared.files import read_bytes
from shared.models.build import build
from shared.models.network import Network
from shared.settings import NetworkSettings
from shared.task import TextTask
from shared.tokenise import FILE
from shared.work import Normalisation

CONFIG, WEIGHTS = "config.json", "model.safetensors"
_PREFIXES = ("bert.", "distilbert.", "model.", "")


@dataclass(frozen=True)
class _Format:
    """What a kind of model calls its sizes (width, inner width, depth, heads), its activation and the parts of a block."""

    sizes: tuple[str, str, str, str]
    activation: str
    block: str
    projections: tuple[str, str, str]
    parts: Mapping[str, str]


_FORMATS = {
    "bert": _Format(
        sizes=("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        activation="hidden_act",
        block="encoder.layer.",
        projections=("attention.self.query", "attention.self.key", "attention.self.value"),
        parts={
            "attention.output.dense": "mix",
            "attention.output.LayerNorm": "attention_norm",
            "intermediate.dense": "widen",
            "output.dense": "narrow",
            "output.LayerNorm": "feed_norm",
        },
    ),
    "distilbert": _Format(
        sizes=("dim", "hidden_dim", "n_layers", "n_heads"),
        activation="activation",
        block="transformer.layer.",
        projections=("attention.q_lin", "attention.k_lin", "attention.v_lin"),
        parts={
            "attention.out_lin": "mix",
            "sa_layer_norm": "attention_norm",
            "ffn.lin1": "widen",
            "ffn.lin2": "narrow",
            "output_layer_norm": "feed_norm",
        },
    ),
}


def load_pretrained(folder: Path, task: TextTask) -> Network:
    """The encoder in ``folder`` (``config.json``, ``model.safetensors``, ``tokenizer.json``) with a new head for ``task``.

    Its hidden states are those of the original for all texts of ``task.max_tokens``. Raises :class:`MissingFileError`, and
    :class:`CheckpointError` for another kind of model or tokeniser, or for damaged weights.
    """
    config = _config(folder)
    settings = _settings(folder, config)
    if task.max_tokens > config.get("max_position_embeddings", 0):
        raise CheckpointError(f"the model in {folder} takes {config.get('max_position_embeddings', 0)} tokens; lower task.max_tokens")
    _check_tokeniser(folder, task)
    model = build(settings, task, Normalisation(), seed=0)
    try:
        values = _translated(load_file(folder / WEIGHTS), _FORMATS[config["model_type"]], settings.depth)
        words = values["embedding.words"]
        if len(words) > task.vocabulary:
            raise CheckpointError(f"the model in {folder} has {len(words)} words, task.vocabulary is {task.vocabulary}; raise it")
        own = model.get_parameter("embedding.words").detach()
        values["embedding.words"] = torch.cat([words, own[len(words) :]])
        values["embedding.positions"] = values["embedding.positions"][: task.max_tokens]
        values |= {name: tensor for name, tensor in model.state_dict().items() if name.startswith("head.")}
        model.load_state_dict({name: tensor.to(torch.float32) for name, tensor in values.items()})
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} is damaged, or not the model that {CONFIG} describes; fetch it again") from error
    return model


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads(read_bytes(folder / CONFIG, what="pretrained model's configuration"))
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG} is not JSON; fetch the model again") from error
    known = _FORMATS.get(str(config.get("model_type"))) if isinstance(config, dict) else None
    if known is None or config.get(known.activation) != "gelu":
        raise CheckpointError(f"the model in {folder} is not a BERT or DistilBERT with exact GELU; give one as initial_path, or none")
    return dict(config)


def _settings(folder: Path, config: Mapping[str, Any]) -> NetworkSettings:
    try:
        width, inner, depth, heads = (int(config[name]) for name in _FORMATS[config["model_type"]].sizes)
        if width < 1 or heads < 1 or inner % width or width % heads:
            raise ValueError
        return NetworkSettings(width=width, depth=depth, heads=heads, architecture="encoder", expansion=inner // width)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder / CONFIG} names sizes that no model here has; give another model as initial_path") from error


def _check_tokeniser(folder: Path, task: TextTask) -> None:
    digest = hashlib.sha256(read_bytes(folder / FILE, what="pretrained model's tokeniser")).hexdigest()
    if digest != task.tokenizer_sha256:
        raise CheckpointError(
            f"the model in {folder} was trained with another tokeniser than the task's; set tokenizer_path to its {FILE} "
            f"and task.tokenizer_sha256 to {digest}"
        )


def _translated(tensors: Mapping[str, Tensor], known: _Format, depth: int) -> dict[str, Tensor]:
    prefix = next(prefix for prefix in _PREFIXES if f"{prefix}embeddings.word_embeddings.weight" in tensors or not prefix)
    given = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    positions = given["embeddings.position_embeddings.weight"]
    if "embeddings.token_type_embeddings.weight" in given:
        # One segment is all there is here: its embedding is the same for every token.
        positions = positions + given["embeddings.token_type_embeddings.weight"][0]
    found = {"embedding.words": given["embeddings.word_embeddings.weight"], "embedding.positions": positions}
    for kind in ("weight", "bias"):
        found[f"embedding.norm.{kind}"] = given[f"embeddings.LayerNorm.{kind}"]
        for block in range(depth):
            own, other = f"blocks.{block}.", f"{known.block}{block}."
            parts = [given[f"{other}{part}.{kind}"] for part in known.projections]
            found[f"{own}query_key_value.{kind}"] = torch.cat(parts)
            found |= {f"{own}{name}.{kind}": given[f"{other}{theirs}.{kind}"] for theirs, name in known.parts.items()}
    return found
