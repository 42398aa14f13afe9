"""Small teachers of every kind, as folders and files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    ConvNextConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedTokenizerFast,
    ResNetConfig,
    SwinConfig,
    ViTConfig,
)

from shared.data.records import Records
from shared.task import ImageTask, TextTask
from shared.teachers import Teacher

LABELS = ("ill", "well", "unsure")
WORDS = {"[PAD]": 0, "[UNK]": 1, **{f"w{place}": place for place in range(2, 40)}}
TEXT = TextTask(family="text", labels=LABELS, tokenizer_sha256="0" * 64, vocabulary=40, max_tokens=12)
IMAGE = ImageTask(family="image", labels=LABELS, size=16, channels=3)
NAMED: dict[str, Any] = {"id2label": {0: "Unsure", 1: "well", 2: "ill"}, "label2id": {"Unsure": 0, "well": 1, "ill": 2}}
TOKENS: dict[str, Any] = {"vocab_size": 40, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 1}
SIZE: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
READERS = {
    "bert": BertConfig(**SIZE, **TOKENS, **NAMED),
    "gpt2": GPT2Config(n_embd=16, n_layer=2, n_head=2, **TOKENS, **NAMED),
    "bart": BartConfig(
        d_model=16,
        encoder_layers=2,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        **TOKENS,
        decoder_start_token_id=1,
        forced_eos_token_id=1,
        **NAMED,
    ),
    "llama": LlamaConfig(**SIZE, **TOKENS, **NAMED),
}
SEERS = {
    "vit": ViTConfig(**SIZE, image_size=32, patch_size=8, **NAMED),
    "resnet": ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **NAMED),
    "convnext": ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], **NAMED),
    "swin": SwinConfig(image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[1, 2], window_size=4, **NAMED),
}
PREPARED = {"do_resize": True, "size": {"height": 32, "width": 32}, "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}


def make_reader(folder: Path, kind: str = "bert", **changes: Any) -> Path:
    torch.manual_seed(0)
    config = type(READERS[kind]).from_dict({**READERS[kind].to_dict(), **changes})
    AutoModelForSequenceClassification.from_config(config).save_pretrained(folder)
    words = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, unk_token="[UNK]", pad_token="[PAD]").save_pretrained(folder)
    return folder


def read_by(folder: Path) -> TextTask:
    """The task of texts whose tokeniser is the one in a reader's folder."""
    return TEXT.model_copy(update={"tokenizer_sha256": hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()})


def make_seer(folder: Path, kind: str = "resnet") -> Path:
    torch.manual_seed(0)
    AutoModelForImageClassification.from_config(SEERS[kind]).save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text(json.dumps(PREPARED))
    return folder


def texts(count: int = 6) -> Records:
    rng = np.random.default_rng(1)
    lines = [" ".join(f"w{token}" for token in rng.integers(2, 40, 1 + 2 * place)) for place in range(count)]
    ids = np.zeros((count, TEXT.max_tokens), np.int32)
    for row, line in zip(ids, lines, strict=True):
        found = [WORDS[word] for word in line.split()][: TEXT.max_tokens]
        row[: len(found)] = found
    return Records(ids, np.arange(count) % 3, np.array(lines))


def images(count: int = 4) -> Records:
    return Records(np.random.default_rng(1).integers(0, 256, (count, 16, 16, 3), dtype=np.uint8), np.arange(count) % 3)


def places(teacher: Teacher) -> dict[str, Any]:
    return {"hidden": tuple(range(teacher.layers + 1)), "attentions": tuple(range(1, teacher.layers + 1))}
