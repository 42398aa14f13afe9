"""A pretrained encoder of texts becomes a teacher: a fresh head, fine-tuned on an institution's own records."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shared.data.records import Records
from shared.distill.resume import Resume
from shared.errors import CheckpointError, ConfigError
from shared.settings import TrainingSettings
from shared.task import Task, TextTask
from shared.teachers.folder import whole_folder
from shared.teachers.loading import load_tokenizer, quiet
from shared.teachers.reading import TOKENIZER_FILE, Reader
from shared.teachers.showing import damaged
from shared.teachers.tuning import PRETRAINED, Progress, fine_tune, fresh, labelled

_HEADS = ("classifier.", "score.")
"""Where the library puts a classifier's head: a base that has one for other labels gets another."""
SMOOTHING = 0.1
"""Label smoothing: a teacher that is sure of everything teaches no more than the labels do."""


def fit_pretrained(
    base: Path,
    folder: Path,
    records: Records,
    task: Task,
    training: TrainingSettings = PRETRAINED,
    *,
    seed: int,
    on_step: Progress = lambda done, total: None,
    resume: Resume | None = None,
) -> None:
    """Fine-tunes the encoder in ``base`` (a Hugging Face folder) and writes a classifier to ``folder``, a Hugging Face folder too.

    The head is the one that the library has for this encoder; it and the batches are functions of ``seed``.
    With ``resume`` a fit that was killed goes on, bit for bit.
    Raises :class:`EmptyInstitutionError` without labelled records, :class:`DataError` without texts that the encoder needs,
    :class:`CheckpointError` where the base cannot be loaded, :class:`ConfigError` for other tasks than texts, and
    :class:`NotFiniteError` where the fit diverges.
    """
    if not isinstance(task, TextTask):
        raise ConfigError("a Hugging Face encoder is fine-tuned on texts alone; for images choose an efficientnet-lite")
    records = labelled(records)
    model, names = _with_fresh_head(base, task, seed)
    reader = Reader(base, task, model.config)
    tokens, labels = reader.tokens(records), torch.from_numpy(records.labels)

    def loss(rows: Tensor) -> Tensor:
        ids, mask = reader.padded([tokens[int(row)] for row in rows])
        logits = model(input_ids=ids, attention_mask=mask.to(torch.int64)).logits
        return functional.cross_entropy(logits, labels.index_select(0, rows), label_smoothing=SMOOTHING)

    lengths = torch.tensor([len(one) for one in tokens])
    fine_tune(model, _Part(model, names), loss, len(records), training, seed=seed, on_step=on_step, lengths=lengths, resume=resume)
    with whole_folder(folder) as beside, quiet():
        model.save_pretrained(beside)
        (reader.tokenizer or load_tokenizer(base)).save_pretrained(beside)
        if (base / TOKENIZER_FILE).is_file():
            # The very file: its digest says whether teacher and student have one tokeniser.
            shutil.copyfile(base / TOKENIZER_FILE, beside / TOKENIZER_FILE)


class _Part(torch.nn.Module):
    """Some of a model's parameters, by name, as a module."""

    def __init__(self, model: Any, names: set[str]) -> None:
        super().__init__()
        self.parts = torch.nn.ParameterDict({name.replace(".", "/"): model.get_parameter(name) for name in sorted(names)})


def _with_fresh_head(base: Path, task: Task, seed: int) -> tuple[Any, set[str]]:
    from transformers import AutoModelForSequenceClassification

    labels = {"id2label": dict(enumerate(task.labels)), "label2id": {label: place for place, label in enumerate(task.labels)}}
    with quiet(), torch.random.fork_rng():
        try:
            # The library fills a head from the global generator: it is put back, and the head filled again below.
            model, found = AutoModelForSequenceClassification.from_pretrained(
                base,
                local_files_only=True,
                trust_remote_code=False,
                attn_implementation="eager",
                ignore_mismatched_sizes=True,
                output_loading_info=True,
                dtype=torch.float32,
                num_labels=len(task.labels),
                **labels,
            )
        except Exception as error:
            # Whatever a library says of a folder that is not what it seems: the weights could not be loaded.
            raise damaged(base, error) from error
    names = {name if isinstance(name, str) else name[0] for name in (*found["missing_keys"], *found["mismatched_keys"])}
    known = dict(model.named_parameters())
    names = names or {name for name in known if name.startswith(_HEADS)}
    if not names or any(name not in known for name in names) or len(names) * 2 > len(known):
        raise CheckpointError(f"the folder {base} holds no encoder whose head could be fitted anew; choose a pretrained encoder")
    fresh(_Part(model, names), seed)
    return model, names
