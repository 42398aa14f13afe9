"""Any local Hugging Face folder with a classifier of texts or images as a teacher, with what it shows inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shared.data.records import Records
from shared.errors import CheckpointError
from shared.models.features import Features, from_output
from shared.models.network import count_parameters
from shared.task import ImageTask, TabularTask, Task, TextTask
from shared.teachers.loading import load_classifier, placement
from shared.teachers.pixels import Pixels, read_pixels
from shared.teachers.reading import Reader
from shared.teachers.showing import averaged, chosen, damaged, digest_of, label_order

_DECIDING = {".json", ".safetensors", ".bin", ".txt", ".model"}
"""Files that can change what the teacher says."""


def open_huggingface(folder: Path, task: Task, *, device: str = "auto", precision: str = "auto") -> HuggingFaceTeacher:
    """The classifier in a folder with ``config.json``. Arguments and errors as of :func:`open_teacher`."""
    place = placement(folder, device, precision)
    match task:
        case TextTask():
            return TextTeacher(folder, task, place)
        case ImageTask():
            return VisionTeacher(folder, task, place)
        case TabularTask():
            raise CheckpointError(f"the teacher in {folder} reads texts or images, not rows of a table; choose another teacher")


class HuggingFaceTeacher:
    """What texts and images have in common: labels in the task's order, the digest, and the wanted places."""

    def __init__(self, folder: Path, task: Task, place: Mapping[str, Any]) -> None:
        self._folder = folder
        self._model: Any = load_classifier(folder, task.family, place)
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
        logits = found.logits.to("cpu")
        if logits.shape != (len(next(iter(inputs.values()))), len(self._order)):
            raise CheckpointError(
                f"the teacher in {self._folder} does not give one label a record; choose one that classifies whole records"
            )
        logits = logits.index_select(1, self._order)
        return Features(logits, found.hidden_states, found.attentions, mask)


class TextTeacher(HuggingFaceTeacher):
    """Reads texts as :class:`Reader` says."""

    def __init__(self, folder: Path, task: TextTask, place: Mapping[str, Any]) -> None:
        super().__init__(folder, task, place)
        self._reader = Reader(folder, task, self._model.config)
        self.layers = self._probed()

    def longest(self, records: Records) -> int:
        """As :meth:`Teacher.longest`."""
        return max((len(tokens) for tokens in self._reader.tokens(records)), default=1)

    def show(self, records: Records, *, hidden: Sequence[int] = (), attentions: Sequence[int] = ()) -> Features:
        """As :meth:`Teacher.show`. Raises :class:`DataError` where the records have no texts and it needs them."""
        ids, mask = self._reader.padded(self._reader.tokens(records))
        found = self._read(ids, mask)
        return chosen(found, hidden, attentions) if self._reader.shares_tokens else averaged(chosen(found, hidden, ()))

    def _read(self, ids: Tensor, mask: Tensor) -> Features:
        return self._asked(mask, input_ids=ids, attention_mask=mask.to(torch.int64))

    def _probed(self) -> int:
        # Some models want every text to end in their last token; any other token would do for the rest.
        end = self._model.config.eos_token_id
        token = end if isinstance(end, int) and 0 <= end < self._model.config.vocab_size else int(self._reader.padding == 0)
        try:
            found = self._read(torch.tensor([[token]]), torch.ones(1, 1, dtype=torch.bool))
        except CheckpointError:
            raise
        except Exception as error:
            # Models raise whatever their own arithmetic does on tokens that they do not know.
            raise damaged(self._folder, error) from error
        return max(len(found.hidden_states) - 1, 0)


class VisionTeacher(HuggingFaceTeacher):
    """Sees images as its ``preprocessor_config.json`` prepares them."""

    def __init__(self, folder: Path, task: ImageTask, place: Mapping[str, Any]) -> None:
        super().__init__(folder, task, place)
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
