"""Records: read, dealt to sites, held out, and summed up without showing any. No torch here."""

from __future__ import annotations

from shared.data.arrays import save_arrays
from shared.data.infer import infer_task, infer_text_task
from shared.data.load import builtin_task, load_pool, load_site, load_sites
from shared.data.records import Records, Split

__all__ = [
    "Records",
    "Split",
    "builtin_task",
    "infer_task",
    "infer_text_task",
    "load_pool",
    "load_site",
    "load_sites",
    "save_arrays",
]
