"""Generates shared/rpc/*_pb2.py(i) from proto/. Usage: python scripts/generate_rpc.py [--check]

``--check`` writes nothing and exits with 1 if what is committed is not what the generator would write.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc

ROOT = Path(__file__).parents[1]
SOURCES = ROOT / "proto" / "fedstill" / "v1"
TARGET = ROOT / "shared" / "rpc"


def main() -> int:
    """Writes or checks the generated modules."""
    with tempfile.TemporaryDirectory() as folder:
        made = generate(Path(folder))
        stale = [name for name, content in made.items() if not (TARGET / name).exists() or (TARGET / name).read_text() != content]
        if "--check" not in sys.argv:
            for name in stale:
                (TARGET / name).write_text(made[name])
            return 0
    if stale:
        print(f"not up to date: {', '.join(stale)}; run python scripts/generate_rpc.py", file=sys.stderr)
    return 1 if stale else 0


def generate(folder: Path) -> dict[str, str]:
    """The generated files by name."""
    sources = [path.name for path in sorted(SOURCES.glob("*.proto"))]
    status = protoc.main(["protoc", f"-I{SOURCES}", f"--python_out={folder}", f"--pyi_out={folder}", *sources])
    if status:
        raise SystemExit(f"protoc failed with status {status}")
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


if __name__ == "__main__":
    raise SystemExit(main())
