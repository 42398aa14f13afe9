"""Loading a local Hugging Face folder: its weights and nothing else of it. No network, no code from the folder, no pickles."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from shared.errors import CheckpointError
from shared.models.device import chosen_device
from shared.teachers.showing import damaged

LARGE = 4 * 2**30
"""Bytes of weights from which a model is spread over the devices that there are, in bfloat16."""
_PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
_LOCAL = {"local_files_only": True, "trust_remote_code": False}


def load_classifier(folder: Path, family: str, place: Mapping[str, Any] | None = None) -> Any:
    """The classifier in a folder, where ``place`` of :func:`placement` says, outside training mode, with attention that can be seen.

    Raises :class:`CheckpointError` where it is damaged, holds code in place of weights, or has no trained classification head.
    """
    with quiet():
        try:
            kind = _class_of(folder, family)
            model, found = kind.from_pretrained(
                folder, **_LOCAL, attn_implementation="eager", output_loading_info=True, **(placement(folder) if place is None else place)
            )
        except CheckpointError:
            raise
        except Exception as error:
            # Whatever a library says of a folder that is not what it seems: the weights could not be loaded.
            raise damaged(folder, error) from error
    if found["missing_keys"]:
        raise CheckpointError(
            f"the model in {folder} has no trained classification head; "
            f"fit one with 'fedstill teacher fit --kind pretrained --base {folder}'"
        )
    return model.eval()


def load_tokenizer(folder: Path) -> Any:
    """The folder's own tokeniser, padding behind the text. Raises :class:`CheckpointError`."""
    from transformers import AutoTokenizer

    with quiet():
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, **_LOCAL)
        except Exception as error:
            raise damaged(folder, error) from error
    tokenizer.padding_side = "right"
    return tokenizer


def placement(folder: Path, device: str = "auto", precision: str = "auto") -> dict[str, Any]:
    """Where the weights go, and as which numbers: what transformers takes as ``device_map`` and ``dtype``.

    ``device``: ``cpu``, ``cuda``, or ``spread`` over all devices (accelerate's ``device_map="auto"``, which puts what does not fit on
    GPUs into memory). ``precision``: ``float32`` or ``bfloat16``. ``auto`` of both: float32 on the CPU, or bfloat16 over all devices
    where there is a CUDA GPU or the model is large; of the one, what suits the other. Raises :class:`ConfigError` for ``cuda`` without
    a GPU.
    """
    chosen: dict[str, Any] = _unasked(folder) if device == "auto" else {"dtype": torch.float32 if device == "cpu" else torch.bfloat16}
    if device == "spread":
        chosen["device_map"] = "auto"
    elif device != "auto":
        chosen["device_map"] = str(chosen_device(device))
    return chosen if precision == "auto" else {**chosen, "dtype": _PRECISIONS[precision]}


def _unasked(folder: Path) -> dict[str, Any]:
    size = sum(path.stat().st_size for path in folder.iterdir() if path.suffix in {".safetensors", ".bin"})
    if torch.cuda.is_available() or size > LARGE:
        return {"dtype": torch.bfloat16, "device_map": "auto"}
    return {"dtype": torch.float32}


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps the library's own bars and reports off the terminal: what a user must know is said in our errors."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _class_of(folder: Path, family: str) -> Any:
    import transformers

    config = transformers.AutoConfig.from_pretrained(folder, **_LOCAL)
    own = getattr(transformers, (config.architectures or [""])[0], None)
    if isinstance(own, type) and issubclass(own, transformers.PreTrainedModel) and own.__name__.endswith("Classification"):
        return own
    return transformers.AutoModelForImageClassification if family == "image" else transformers.AutoModelForSequenceClassification
