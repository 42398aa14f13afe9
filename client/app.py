"""The Flower ClientApp: takes a message apart, asks the institution's handlers, puts the answer together. Imports no torch.

The institution's folder is ``context.node_config["institution-dir"]``. One warm object a folder answers all its messages.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

from client.handlers import InstitutionHandlers, Workbench
from client.site import InstitutionSite
from shared.errors import DeploymentError, FedstillError, ProtocolError
from shared.exchange import LARGEST_WHOLE, MESSAGE_TYPES, MessageKind, Refusal, Reply, Request

WorkbenchFactory = Callable[[InstitutionSite], Workbench]


def installed_workbench(site: InstitutionSite) -> Workbench:
    """The workbench that trains with torch; torch is imported here, at the first work, and not before."""
    from client.training import Workbench as TorchWorkbench

    bench: Workbench = TorchWorkbench(site.config, site.folder)
    return bench


def make_app(workbench: WorkbenchFactory = installed_workbench) -> ClientApp:
    """A ClientApp whose works are done by ``workbench``."""
    made = ClientApp()
    institutions = Institutions(workbench)

    def respond(kind: MessageKind, message: Message, context: Context) -> Message:
        answer = _answer(institutions, kind, message, context)
        content = _refused(answer) if isinstance(answer, Refusal) else _content(answer.header, answer.blob)
        return Message(content, reply_to=message)

    for kind, message_type in MESSAGE_TYPES.items():
        category, _, action = message_type.partition(".")
        register = made.train() if category == "train" else made.query(action)
        register(partial(respond, kind))
    return made


class Institutions:
    """The handlers of each folder, made once: a deployed worker has one, a simulation as many as it has institutions."""

    def __init__(self, workbench: WorkbenchFactory) -> None:
        self._workbench = workbench
        self._lock = threading.Lock()
        self._known: dict[Path, InstitutionHandlers] = {}

    def at(self, folder: Path) -> InstitutionHandlers:
        """The handlers of the institution in ``folder``."""
        with self._lock:
            if folder not in self._known:
                site = InstitutionSite(folder)
                self._known[folder] = InstitutionHandlers(site, partial(self._workbench, site))
            return self._known[folder]


def _answer(institutions: Institutions, kind: MessageKind, message: Message, context: Context) -> Reply | Refusal:
    folder = context.node_config.get("institution-dir")
    if not isinstance(folder, str):
        error = DeploymentError("the institution's node was started without institution-dir; start it with 'fedstill client run'")
        return Refusal(type(error).__name__, str(error))
    try:
        return institutions.at(Path(folder)).answer(_request(kind, message))
    except FedstillError as error:
        return Refusal(type(error).__name__, str(error))


def _request(kind: MessageKind, message: Message) -> Request:
    parts = _parts(message.content)
    if parts is None:
        raise ProtocolError("the message has not the agreed form; install the same release as the coordinator")
    return Request(kind, *parts)


def _content(header: bytes, blob: bytes) -> RecordDict:
    parts = {"header": header} | ({"blob": blob} if blob else {})
    if len(header) + len(blob) <= LARGEST_WHOLE:
        return RecordDict({"payload": ConfigRecord(dict(parts))})
    # Raw bytes, no .npy frame around them: a large model is not copied once more on its way.
    arrays = {name: Array(dtype="uint8", shape=(len(part),), stype="fedstill.bytes", data=part) for name, part in parts.items()}
    return RecordDict({"payload": ArrayRecord(arrays)})


def _parts(content: RecordDict) -> tuple[bytes, bytes] | None:
    record = content.get("payload")
    found = [record[name] if isinstance(record, ArrayRecord | ConfigRecord) and name in record else b"" for name in ("header", "blob")]
    header, blob = [part.data if isinstance(part, Array) else part for part in found]
    return (header, blob) if isinstance(header, bytes) and isinstance(blob, bytes) and header else None


def _refused(refusal: Refusal) -> RecordDict:
    return RecordDict({"refusal": ConfigRecord({"code": refusal.code, "reason": refusal.reason})})


app = make_app()
