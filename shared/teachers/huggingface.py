"""Any local Hugging Face folder with a classifier of texts or images as a teacher, with what it shows inside."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shared.data.records import Records
from shared.errors import CheckpointError, DataError
from shared.models.features import Features, from_output
from shared.models.network import count_parameters
from shared.task import ImageTask, TabularTask, Task, TextTask
from shared.teachers.loading import load_classifier, load_tokenizer
from shared.teachers.pixels import Pixels, read_pixels
from shared.teachers.showing import chosen, digest_of, label_order

_DECIDING = {".json", ".safetensors", ".bin", ".txt", ".model"}
"""Files that can change what the teacher says."""


def open_huggingface(folder: Path, task: Task) -> HuggingFaceTeacher:
    """The classifier in a folder with ``config.json``. Raises :class:`CheckpointError` as :func:`open_teacher` says."""
    match task:
        case TextTask():
            return TextTeacher(folder, task)
        case ImageTask():
            return VisionTeacher(folder, task)
        case TabularTask():
            raise CheckpointError(f"the teacher in {folder} reads texts or images, not rows of a table; choose another teacher")


class HuggingFaceTeacher:
    """What texts and images have in common: labels in the task's order, the digest, and the wanted places."""

    def __init__(self, folder: Path, task: Task) -> None:
        self._folder = folder
        self._model: Any = load_classifier(folder, task.family)
        names = self._model.config.id2label
        self._order = torch.tensor(label_order([str(names[place]) for place in sorted(names)], task, where=folder))
        self.parameters = count_parameters(self._model)
        files = [path for path in folder.iterdir() if path.is_file() and path.suffix in _DECIDING]
        self.digest = digest_of(files, task.family, self._order.tolist(), str(self._model.dtype))

    def _asked(self, mask: Tensor | None = None, **inputs: Tensor) -> Features:
        moved = {name: tensor.to(self._model.device) for name, tensor in inputs.items()}
        with torch.no_grad():
            output = self._model(**moved, output_hidden_states=True, output_attentions=True)
        if getattr(output, "encoder_hidden_states", None):
            # A model of encoder and decoder is looked at where it reads.
            output = SimpleNamespace(logits=output.logits, hidden_states=output.encoder_hidden_states, attentions=output.encoder_attentions)
        found = from_output(output)
        logits = found.logits.to("cpu").index_select(1, self._order)
        return Features(logits, found.hidden_states, found.attentions, mask)


class TextTeacher(HuggingFaceTeacher):
    """Reads texts with its own tokeniser, or the student's tokens where both have the same one.

    A text is cut to the task's ``max_tokens``, and to what the model can take. Models that read from left to right and answer
    at the last token are told where padding begins.
    """

    def __init__(self, folder: Path, task: TextTask) -> None:
        super().__init__(folder, task)
        self._task = task
        self._same = _sha256(folder / "tokenizer.json") == task.tokenizer_sha256
        self._tokenizer = None if self._same else load_tokenizer(folder)
        config = self._model.config
        if self._same and task.vocabulary > config.vocab_size:
            raise CheckpointError(f"the teacher in {folder} knows {config.vocab_size} tokens, the task has {task.vocabulary}; check both")
        self._padding = task.padding if self._same else _padding_of(self._tokenizer, config)
        config.pad_token_id = self._padding
        limits = (task.max_tokens, getattr(self._tokenizer, "model_max_length", None), getattr(config, "max_position_embeddings", None))
        self._limit = min(int(limit) for limit in limits if limit)
        self.layers = int(config.num_hidden_layers)

    def longest(self, records: Records) -> int:
        """As :meth:`Teacher.longest`."""
        return max((len(tokens) for tokens in self._tokens(records)), default=1)

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        """As :meth:`Teacher.show`. Raises :class:`DataError` where the records have no texts and it needs them."""
        tokens = self._tokens(records)
        lengths = torch.tensor([len(one) for one in tokens])
        mask = torch.arange(int(lengths.max())) < lengths[:, None]
        ids = torch.full(mask.shape, self._padding)
        ids[mask] = torch.tensor([token for one in tokens for token in one])
        return chosen(self._asked(mask, input_ids=ids, attention_mask=mask.to(torch.int64)), hidden, attentions)

    def _tokens(self, records: Records) -> list[list[int]]:
        if self._tokenizer is None:
            found = [row[row != self._task.padding].tolist() for row in records.inputs]
        elif records.texts is None:
            raise DataError(
                f"the teacher in {self._folder} has a tokeniser of its own and needs the texts, but these records hold tokens alone; "
                f"give the institution the texts (a CSV file), or a teacher with the task's tokeniser"
            )
        else:
            found = self._tokenizer(records.texts.tolist(), truncation=True, max_length=self._limit)["input_ids"]
        # A text of nothing is one token of padding: no model takes none at all.
        return [one[: self._limit] or [self._padding] for one in found]


class VisionTeacher(HuggingFaceTeacher):
    """Sees images as its ``preprocessor_config.json`` prepares them."""

    def __init__(self, folder: Path, task: ImageTask) -> None:
        super().__init__(folder, task)
        self._pixels: Pixels = read_pixels(folder, int(getattr(self._model.config, "num_channels", 3)))
        blank = self._found(torch.zeros(1, task.size, task.size, task.channels, dtype=torch.uint8))
        self.layers = max(len(blank.hidden_states) - 1, 0)

    def longest(self, records: Records) -> int:
        """0: every image has the same number of patches or cells."""
        return 0

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        """As :meth:`Teacher.show`."""
        return chosen(self._found(torch.from_numpy(np.ascontiguousarray(records.inputs))), hidden, attentions)

    def _found(self, images: Tensor) -> Features:
        try:
            return self._asked(pixel_values=self._pixels(images).to(self._model.dtype))
        except (ValueError, RuntimeError) as error:
            raise CheckpointError(
                f"the teacher in {self._folder} cannot take images of the size that its preprocessor_config.json makes; check that file"
            ) from error


def _padding_of(tokenizer: Any, config: Any) -> int:
    for found in (tokenizer.pad_token_id, config.pad_token_id, tokenizer.eos_token_id):
        if isinstance(found, int):
            return found
    return 0


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
