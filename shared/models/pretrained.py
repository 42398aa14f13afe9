"""A pretrained BERT-like encoder of Hugging Face's format as a model of this package: weights only, no code of anyone's is run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
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
_PREFIXES = ("bert.", "model.", "")
_BLOCK = {
    "attention.output.dense": "mix",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "widen",
    "output.dense": "narrow",
    "output.LayerNorm": "feed_norm",
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
        values = _translated(load_file(folder / WEIGHTS), settings.depth)
        words = values["embedding.words"]
        if len(words) > task.vocabulary:
            raise CheckpointError(f"the model in {folder} has {len(words)} words, task.vocabulary is {task.vocabulary}; raise it")
        own = model.get_parameter("embedding.words").detach()
        values["embedding.words"] = torch.cat([words, own[len(words) :]])
        values["embedding.positions"] = values["embedding.positions"][: task.max_tokens]
        values |= {name: tensor for name, tensor in model.state_dict().items() if name.startswith("head.")}
        model.load_state_dict({name: tensor.to(torch.float32) for name, tensor in values.items()})
    except (SafetensorError, OSError, KeyError, RuntimeError) as error:
        raise CheckpointError(f"{folder / WEIGHTS} is damaged, or not the BERT that {CONFIG} describes; fetch it again") from error
    return model


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads(read_bytes(folder / CONFIG, what="pretrained model's configuration"))
    except ValueError as error:
        raise CheckpointError(f"{folder / CONFIG} is not JSON; fetch the model again") from error
    if not isinstance(config, dict) or config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise CheckpointError(f"the model in {folder} is not a BERT with exact GELU; give one as initial_path, or none")
    return config


def _settings(folder: Path, config: Mapping[str, Any]) -> NetworkSettings:
    try:
        width, inner = int(config["hidden_size"]), int(config["intermediate_size"])
        depth, heads = int(config["num_hidden_layers"]), int(config["num_attention_heads"])
        if inner % width:
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


def _translated(tensors: Mapping[str, Tensor], depth: int) -> dict[str, Tensor]:
    prefix = next(prefix for prefix in _PREFIXES if f"{prefix}embeddings.word_embeddings.weight" in tensors or not prefix)
    given = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    # One segment is all there is here: its embedding is the same for every token.
    positions = given["embeddings.position_embeddings.weight"] + given["embeddings.token_type_embeddings.weight"][0]
    found = {"embedding.words": given["embeddings.word_embeddings.weight"], "embedding.positions": positions}
    for kind in ("weight", "bias"):
        found[f"embedding.norm.{kind}"] = given[f"embeddings.LayerNorm.{kind}"]
        for block in range(depth):
            own, other = f"blocks.{block}.", f"encoder.layer.{block}."
            parts = [given[f"{other}attention.self.{part}.{kind}"] for part in ("query", "key", "value")]
            found[f"{own}query_key_value.{kind}"] = torch.cat(parts)
            found |= {f"{own}{name}.{kind}": given[f"{other}{theirs}.{kind}"] for theirs, name in _BLOCK.items()}
    return found
