"""The teacher is asked once for each record and view; its answers are kept privately until anything they depend on changes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from shared.data.records import Records
from shared.distill.depth import wanted
from shared.distill.packing import packed
from shared.distill.stored import CHUNK, FORMAT, Card, StoredTargets, changed_chunks, check_sizes, done_chunks, opened, writer
from shared.distill.targets import SHOWN, LiveTargets, Order, Targets, joined_arrays, live_targets, shown
from shared.distill.views import VERSION, Views
from shared.errors import CheckpointError, EmptyInstitutionError
from shared.models.build import shown_layers
from shared.models.seeds import derive
from shared.settings import DistillationSettings, NetworkSettings
from shared.task import Task
from shared.teachers.teacher import Teacher

MEGABYTE = 2**20

Progress = Callable[[int, int], None]
"""Called with the chunks that are done and the number of all."""


def institution_views(task: Task, count: int, seed: int, name: str, first: int = 0) -> Views:
    """The views of an institution's records: its own, from its seed and name."""
    return Views(task, count, derive(seed, name, "views"), first)


def order_of(student: NetworkSettings, task: Task, distillation: DistillationSettings, teacher: Teacher) -> Order:
    """What the objective wants to see of a teacher for such a student: no more layers than it compares with."""
    places = wanted(shown_layers(student, task), teacher.layers, distillation)
    return Order(places.hidden, places.attentions, distillation.top_k)


def size_of(teacher: Teacher, records: Records, views: Views, order: Order) -> int:
    """Bytes that the targets take on disk. Shows the teacher one record; writes nothing.

    Raises :class:`EmptyInstitutionError` without records.
    """
    return _card(_live(teacher, records, views, order)).bytes


def cached_targets(
    folder: Path,
    teacher: Teacher,
    records: Records,
    views: Views,
    order: Order,
    *,
    limit_mb: int,
    limit_name: str = "cache_limit_mb =",
    say: Callable[[str], None] = lambda line: None,
    on_chunk: Progress = lambda done, total: None,
) -> Targets:
    """Targets kept in ``folder``; where they would take more than ``limit_mb``, the teacher is asked live, and ``say`` is told so
    with ``limit_name``, which is how the user sets the limit.

    ``say`` is told too where kept targets are damaged and made again. Raises :class:`ResourceError` where the disk says no and
    :class:`NotFiniteError` where the teacher's answer is no number.
    """
    live = _live(teacher, records, views, order)
    size = _card(live).bytes
    if size > limit_mb * MEGABYTE:
        say(
            f"the teacher's targets would take {size / MEGABYTE:.0f} MB, more than {limit_name} {limit_mb} allows: "
            f"the teacher is asked anew for every batch, which is slower"
        )
        return live
    return stored_targets(folder, live, say=say, on_chunk=on_chunk)


def stored_targets(
    folder: Path, live: LiveTargets, *, say: Callable[[str], None] = lambda line: None, on_chunk: Progress = lambda done, total: None
) -> StoredTargets:
    """Targets in ``folder/targets-KEY/``, made or gone on with where they are not finished; all others there are removed.

    ``KEY`` covers teacher, records, views, wanted layers and how they are packed, so nothing stale is ever used. Stopped and
    started again at any chunk, the files come out the same to the byte. Chunks that are not as they were written are made again, and
    ``say`` is told so; so are all where a file has not its size.
    """
    home, card = folder / f"targets-{key_of(live)}", _card(live)
    _remove_others(folder, home)
    chunks = card.chunks()
    done, changed = _sound(home, card, say)
    on_chunk(done - len(changed), len(chunks))
    with writer(home, card) as out:
        for place, number in enumerate([*changed, *range(done, len(chunks))], start=1):
            view, rows = chunks[number]
            batches = np.split(rows, range(SHOWN, len(rows), SHOWN))
            parts = [packed(shown(live.teacher, live.views.records(live.records, part, view), live.order), live.layout) for part in batches]
            out.write(number, view, rows, joined_arrays(parts), max(done, number + 1))
            on_chunk(done - len(changed) + place, len(chunks))
    return opened(home, card)


def key_of(live: LiveTargets) -> str:
    """32 hex digits of a SHA-256 over everything that the targets depend on."""
    views, order, inputs = live.views, live.order, live.records.inputs
    asked = (FORMAT, VERSION, CHUNK, SHOWN, views.count, views.seed if views.count > 1 else 0, order.hidden, order.attentions, order.top_k)
    digest = hashlib.sha256(f"{live.teacher.digest} {asked} {inputs.dtype} {inputs.shape}".encode())
    digest.update(views.task.canonical() + live.layout.canonical() + np.ascontiguousarray(inputs).tobytes())
    for text in live.records.texts if live.records.texts is not None else ():
        content = str(text).encode("utf-8", "surrogatepass")
        digest.update(len(content).to_bytes(8, "big") + content)
    return digest.hexdigest()[:32]


def _sound(home: Path, card: Card, say: Callable[[str], None]) -> tuple[int, list[int]]:
    """How many chunks are there, and which of them must be made again."""
    chunks = len(card.chunks())
    try:
        done = done_chunks(home, card)
        check_sizes(home, card, done)
        changed = changed_chunks(home, card, done)
    except CheckpointError:
        say(f"the teacher's targets in {home} are damaged; they are made again")
        shutil.rmtree(home, ignore_errors=True)
        return done_chunks(home, card), []
    if changed:
        say(f"{len(changed)} of {chunks} parts of the teacher's targets in {home} are not as they were written; they are made again")
    return done, changed


def _live(teacher: Teacher, records: Records, views: Views, order: Order) -> LiveTargets:
    if not len(records):
        raise EmptyInstitutionError("there are no training records to ask the teacher for; give the institution some")
    return live_targets(teacher, records, views, order)


def _card(live: LiveTargets) -> Card:
    return Card(records=len(live.records), views=live.views.count, layout=live.layout)


def _remove_others(folder: Path, home: Path) -> None:
    for old in folder.glob("targets-*"):
        if old.is_dir() and old != home:
            shutil.rmtree(old, ignore_errors=True)
        elif old.is_file():
            old.unlink(missing_ok=True)
