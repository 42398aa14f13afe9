"""The ClientApp: importing it costs no torch, and it says what is wrong with how it was started."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from flwr.app import Context, Message, RecordDict
from flwr.supercore.task_identity import TaskIdentity

from client.app import make_app
from tests.support.small import SmallWorkbench


@pytest.mark.parametrize("module", ["client.app", "server.app"])
def test_importing_an_app_does_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules or 'onnxruntime' in sys.modules)"
    root = Path(__file__).parent.parent.parent
    assert subprocess.run([sys.executable, "-c", code], cwd=root, timeout=60, check=False).returncode == 0


def test_a_node_without_a_folder_refuses_in_plain_words(tmp_path: Path) -> None:
    TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 1, 1
    message = Message(RecordDict(), dst_node_id=2, message_type="train")
    app = make_app(SmallWorkbench)
    reply = app(message, Context(1, 2, {}, RecordDict(), {}))
    assert "without institution-dir" in str(reply.content.config_records["refusal"]["reason"])
    empty = app(message, Context(1, 2, {"institution-dir": str(tmp_path)}, RecordDict(), {}))
    assert "has not the agreed form" in str(empty.content.config_records["refusal"]["reason"])
