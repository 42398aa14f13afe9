"""What ``fedstill simulate`` costs and gives, as its user runs it: seconds, memory, accuracy of every model, agreement, bytes.

    python -m benchmarks.simulation [--data heart|digits] [--seeds 5] [--json FILE]

Each seed is one run of the command in a process of its own, with records split, dealt and learnt from that seed. The data is
in the package; nothing else is needed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import Claim, claim, parser, report
from fedstill.report import Summary

GOAL_SECONDS, GOAL_AGREEMENT = 60.0, 0.995
LONGEST_RUN_S = 1800
FRESH_SEED = 10
"""The presets were chosen by held-out accuracy on seeds 0 to 4 (heart) and 0 to 2 (digits): figures on those flatter them."""


def run(data: str, seed: int, rounds: int | None = None) -> Summary:
    """One run of the command."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--data", data, "--seed", str(seed), "--out", str(Path(folder) / "run"), "--json"]
        options += ["--rounds", str(rounds)] if rounds is not None else []
        command = [sys.executable, "-m", "fedstill", "simulate", *options]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=LONGEST_RUN_S)
    return Summary.model_validate(json.loads(done.stdout))


def claims(data: str, runs: Sequence[Summary]) -> list[Claim]:
    """The medians over runs; every model's accuracy counts each held-out record once."""
    found = [
        claim(f"{data}.seconds", [one.seconds for one in runs], "s", goal=GOAL_SECONDS if data == "heart" else None),
        claim(f"{data}.peak_memory", [one.peak_memory_mb for one in runs], "MB"),
    ]
    found += [claim(f"{data}.{name}", [one.metrics[name].overall for one in runs], "accuracy") for name in runs[0].metrics]
    gains = [one.metrics["fedstill"].overall - one.metrics["federated"].overall for one in runs]
    size = [one.metrics["int8"].bytes or 0 for one in runs]
    return [
        *found,
        claim(f"{data}.gain_of_teachers", gains, "accuracy"),
        claim(f"{data}.int8_agreement", [one.agreement for one in runs], "fraction", goal=GOAL_AGREEMENT),
        claim(f"{data}.uplink", [one.bytes_up_per_parameter for one in runs], "bytes a parameter"),
        claim(f"{data}.downlink", [one.bytes_down_per_parameter for one in runs], "bytes a parameter"),
        claim(f"{data}.artifact", size, "bytes"),
    ]


def main() -> None:
    """Runs the benchmark."""
    options = parser(__doc__ or "", seeds=5)
    options.add_argument("--data", choices=("heart", "digits"), default="heart")
    options.add_argument("--first-seed", type=int, default=FRESH_SEED, help=f"default {FRESH_SEED}: presets were tuned on seeds below it")
    options.add_argument("--quick", action="store_true", help="two rounds only, for a test")
    chosen = options.parse_args()
    runs = [run(chosen.data, seed, 2 if chosen.quick else None) for seed in range(chosen.first_seed, chosen.first_seed + chosen.seeds)]
    report("simulation", claims(chosen.data, runs), chosen)


if __name__ == "__main__":
    main()
