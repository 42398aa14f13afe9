"""The console's process, on loopback: ``python -m server.console --folder coordinator --port 9003 --certificate … --key …``."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import uvicorn

from server.console.app import make_app
from shared.hosting import LOOPBACK
from shared.logs import set_up

MOST_CONNECTIONS = 64
"""Connections at a time; the gateway opens fewer."""


def main(arguments: list[str] | None = None) -> None:
    """Serves the console until it is told to end."""
    parser = argparse.ArgumentParser(description="Serve the operator's console on loopback, behind the gateway.")
    for name in ("--folder", "--certificate", "--key"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args(arguments)
    set_up(logging.getLogger("fedstill"))
    uvicorn.run(
        make_app(options.folder),
        host=LOOPBACK,
        port=options.port,
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=2,
        ws="none",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_level="warning",
    )


if __name__ == "__main__":
    main()
