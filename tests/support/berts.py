"""A small BERT in the form in which they are published."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertModel

from tests.support.texts import text_task, tokenizer_json

SIZES = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 4, "intermediate_size": 64}


def write_bert(folder: Path, **changes: Any) -> Path:
    """``config.json``, ``tokenizer.json`` and ``model.safetensors``, with weights large enough to tell the parts apart."""
    given: dict[str, Any] = {"vocab_size": text_task().vocabulary, "max_position_embeddings": 20, "hidden_act": "gelu", **SIZES, **changes}
    config = BertConfig(**given)
    (folder / "config.json").write_text(json.dumps(config.to_dict()))
    (folder / "tokenizer.json").write_text(tokenizer_json())
    with torch.random.fork_rng():
        model = BertModel(config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "LayerNorm.weight" not in name:
                parameter.normal_(std=0.2, generator=generator)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, folder / "model.safetensors")
    return folder
