"""``python -m shared.compress.measure --out FILE``: a profile of this device, with numpy, onnx and onnxruntime alone."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

from shared.compress.measure.profile import measured_profile, rendered
from shared.errors import FedstillError
from shared.files import write_atomic

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


def main(arguments: list[str] | None = None) -> int:
    """Measures, writes and says where."""
    options = argparse.ArgumentParser(prog="python -m shared.compress.measure", description=__doc__)
    options.add_argument("--out", type=Path, required=True, help="the profile to write, a .toml")
    options.add_argument("--name", help="the profile's name: lower-case letters, digits, hyphens; default: the file's")
    options.add_argument("--quick", action="store_true", help="a coarser grid, less than a minute")
    given = options.parse_args(arguments)
    name = given.name or given.out.stem
    if not NAME.fullmatch(name):
        options.error(f"'{name}' is no name of a profile: use lower-case letters, digits and hyphens (--name)")
    if given.out.suffix != ".toml":
        options.error("the profile's file must end in .toml, by which it is told from the name of a known one")
    try:
        profile = measured_profile(name, quick=given.quick, tell=_tell)
        write_atomic(given.out, rendered(profile).encode())
    except FedstillError as error:
        sys.stderr.write(f"\nerror: {error}\n")
        return error.exit_code
    sys.stderr.write("\n")
    sys.stdout.write(f"{given.out}\n")
    return 0


def _tell(done: int, whole: int) -> None:
    sys.stderr.write(f"\rmeasuring: {100 * done // whole} %")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main())
