"""A pretrained encoder of texts becomes a teacher: a fresh head, fine-tuned on an institution's own records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from shared.data.records import Records
from shared.errors import CheckpointError, ConfigError, DataError
from shared.settings import TrainingSettings
from shared.task import Task, TextTask
from shared.teachers.folder import whole_folder
from shared.teachers.loading import load_tokenizer, quiet
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
) -> None:
    """Fine-tunes the encoder in ``base`` (a Hugging Face folder) and writes a classifier to ``folder``, a Hugging Face folder too.

    The head is the one that the library has for this encoder; it and the batches are functions of ``seed``.
    Raises :class:`EmptyInstitutionError` without records, :class:`DataError` without texts, :class:`CheckpointError` where the base
    cannot be loaded, :class:`ConfigError` for other tasks than texts, and :class:`NotFiniteError` where the fit diverges.
    """
    _check(records, task)
    records = labelled(records)
    model, names = _with_fresh_head(base, task, seed)
    tokenizer = load_tokenizer(base)
    ids = _tokens(tokenizer, records, task, model.config)
    labels = torch.from_numpy(records.labels)

    def loss(rows: Tensor) -> Tensor:
        chosen = [ids[int(row)] for row in rows]
        mask = torch.arange(max(len(one) for one in chosen)) < torch.tensor([len(one) for one in chosen])[:, None]
        padded = torch.full(mask.shape, int(model.config.pad_token_id))
        padded[mask] = torch.tensor([token for one in chosen for token in one])
        logits = model(input_ids=padded, attention_mask=mask.to(torch.int64)).logits
        return functional.cross_entropy(logits, labels.index_select(0, rows), label_smoothing=SMOOTHING)

    fine_tune(model, _Part(model, names), loss, len(records), training, seed=seed, on_step=on_step)
    with whole_folder(folder) as beside, quiet():
        model.save_pretrained(beside)
        tokenizer.save_pretrained(beside)


class _Part(torch.nn.Module):
    """Some of a model's parameters, by name, as a module."""

    def __init__(self, model: Any, names: set[str]) -> None:
        super().__init__()
        self.parts = torch.nn.ParameterDict({name.replace(".", "/"): model.get_parameter(name) for name in sorted(names)})


def _check(records: Records, task: Task) -> None:
    if not isinstance(task, TextTask):
        raise ConfigError("a Hugging Face encoder is fine-tuned on texts alone; for images choose an efficientnet-lite")
    if records.texts is None:
        raise DataError("a pretrained teacher reads texts, but these records hold tokens alone; give the institution the texts")


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


def _tokens(tokenizer: Any, records: Records, task: Task, config: Any) -> list[list[int]]:
    assert isinstance(task, TextTask)
    assert records.texts is not None
    for padding in (tokenizer.pad_token_id, config.pad_token_id, tokenizer.eos_token_id, 0):
        if isinstance(padding, int):
            config.pad_token_id = padding
            break
    limit = min(task.max_tokens, int(tokenizer.model_max_length), int(getattr(config, "max_position_embeddings", task.max_tokens)))
    found: list[list[int]] = tokenizer(records.texts.tolist(), truncation=True, max_length=limit)["input_ids"]
    return [one or [int(config.pad_token_id)] for one in found]
