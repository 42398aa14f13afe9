"""From records to what a language model reads: the student's own tokens where both have one tokeniser, else texts by the model's own."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shared.data.records import Records
from shared.errors import CheckpointError, DataError
from shared.task import TextTask
from shared.teachers.loading import load_tokenizer

TOKENIZER_FILE = "tokenizer.json"


class Reader:
    """Tokens of a folder's model. A text is cut to the task's ``max_tokens``, and to what the model can take.

    Models that read from left to right and answer at the last token are told, in ``config``, which token is padding.
    """

    def __init__(self, folder: Path, task: TextTask, config: Any) -> None:
        self.folder, self._task = folder, task
        own = _sha256(folder / TOKENIZER_FILE) != task.tokenizer_sha256
        self.tokenizer = load_tokenizer(folder) if own else None
        if not own and task.vocabulary > config.vocab_size:
            raise CheckpointError(f"the teacher in {folder} knows {config.vocab_size} tokens, the task has {task.vocabulary}; check both")
        self.padding = _padding_of(self.tokenizer, config) if own else task.padding
        config.pad_token_id = self.padding
        limits = (task.max_tokens, getattr(self.tokenizer, "model_max_length", None), getattr(config, "max_position_embeddings", None))
        self._limit = min(int(limit) for limit in limits if limit)

    @property
    def shares_tokens(self) -> bool:
        """Whether the model reads the student's own tokens: by the tokenisers' digests, since equal numbers of tokens say nothing."""
        return self.tokenizer is None

    def tokens(self, records: Records) -> list[list[int]]:
        """At least one token of each record. Raises :class:`DataError` where the records have no texts and the model needs them."""
        if self.tokenizer is None:
            found = [row[row != self._task.padding].tolist() for row in records.inputs]
        elif records.texts is None:
            raise DataError(
                f"the teacher in {self.folder} has a tokeniser of its own and needs the texts, but these records hold tokens alone; "
                f"give the institution the texts (a CSV file), or a teacher with the task's tokeniser"
            )
        else:
            found = self.tokenizer(records.texts.tolist(), truncation=True, max_length=self._limit)["input_ids"]
        # A text of nothing is one token of padding: no model takes none at all.
        return [one[: self._limit] or [self.padding] for one in found]

    def padded(self, tokens: list[list[int]]) -> tuple[Tensor, Tensor]:
        """Ids int64 and mask bool, both ``(batch, longest)``; padding comes last."""
        lengths = torch.tensor([len(one) for one in tokens])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        ids = torch.full(mask.shape, self.padding)
        ids[mask] = torch.tensor([token for one in tokens for token in one])
        return ids, mask


def _padding_of(tokenizer: Any, config: Any) -> int:
    for found in (tokenizer.pad_token_id, config.pad_token_id, tokenizer.eos_token_id):
        if isinstance(found, int):
            return found
    return 0


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
