"""Short invented messages of four intents, a tokeniser of their words, and the files that a federation of them needs."""

from __future__ import annotations

import csv
import functools
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

from shared.task import TextTask
from shared.tokenise import Tokeniser

INTENTS = ("book", "cancel", "pay", "track")
_WORDS = {
    "book": ("book", "reserve", "arrange", "schedule"),
    "cancel": ("cancel", "stop", "undo", "withdraw"),
    "pay": ("pay", "settle", "transfer", "charge"),
    "track": ("track", "find", "follow", "locate"),
}
_STARTS = ("please", "can you", "i want to", "could somebody", "help me to")
_THINGS = ("my order", "the room", "a flight", "this bill", "the parcel of today", "it")


def messages(count: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """(text, intent) pairs, every intent alike."""
    rng = np.random.default_rng(seed)
    intents = [INTENTS[number % len(INTENTS)] for number in range(count)]
    return [(" ".join((rng.choice(_STARTS), rng.choice(_WORDS[intent]), rng.choice(_THINGS))), intent) for intent in intents]


@functools.cache
def tokenizer_json() -> str:
    """A word-level tokeniser of the messages with [CLS] and [SEP]; [PAD] is 0."""
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator([text for text, _ in messages(400)], trainers.WordLevelTrainer(special_tokens=special))
    ids = [("[CLS]", tokenizer.token_to_id("[CLS]")), ("[SEP]", tokenizer.token_to_id("[SEP]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ids)
    written: str = tokenizer.to_str()
    return written


def text_task(*, max_tokens: int = 16) -> TextTask:
    tokeniser = Tokeniser(tokenizer_json().encode())
    return TextTask(
        family="text",
        text="message",
        label="intent",
        labels=INTENTS,
        tokenizer_sha256=tokeniser.digest,
        vocabulary=tokeniser.vocabulary,
        max_tokens=max_tokens,
    )


def write_tokenizer(folder: Path) -> Path:
    path = folder / "tokenizer.json"
    path.write_text(tokenizer_json())
    return path


def write_messages(path: Path, count: int, *, seed: int = 0) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("message", "intent"))
        writer.writerows(messages(count, seed=seed))
    return path
