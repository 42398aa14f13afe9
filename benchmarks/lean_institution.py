"""An institution in one process and without torch: Flower's SuperNode in the main thread, the resident worker in another.

    python -m benchmarks.lean_institution FOLDER

The product has a process for each, and a third that watches them (``client/supervise.py``): on one machine fifty of those would be
what is measured. What they do is the same code; the updates are made up (``benchmarks/shim``).
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from pathlib import Path

import tomli_w

from benchmarks.made_up import without_torch
from client.flower import load_installed_app, pull_quickly, work
from client.flower import main as flower_main
from client.folder import InstitutionFolder
from client.supervise import supernode
from shared.enrolment import read_connection
from shared.files import PRIVATE_MODE, write_atomic
from shared.hosting import LOOPBACK, make_secret
from shared.identity import read_private
from shared.processes import free_port


def main() -> None:
    """Runs until it is told to end."""
    home = InstitutionFolder(Path(sys.argv[1]).absolute())
    port = free_port()
    make_secret(home.secret)
    write_atomic(home.node_config, tomli_w.dumps({"institution-dir": str(home.folder)}).encode(), mode=PRIVATE_MODE)
    command = supernode(home, read_connection(home.connection), port)
    os.environ.update(command.environment)
    threading.Thread(target=_work, args=(f"{LOOPBACK}:{port}", home.secret), daemon=True).start()
    flower_main(list(command.arguments[command.arguments.index("client.flower") + 1 :]))


def _work(address: str, secret: Path) -> None:
    try:
        pull_quickly()
        app = load_installed_app()
        without_torch()
        work(address, read_private(secret), app)
    except BaseException:
        traceback.print_exc()
    finally:
        # Without its worker the process would be an institution that never answers.
        sys.stderr.flush()
        os._exit(7)


if __name__ == "__main__":
    main()
