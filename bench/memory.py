"""What an idle cluster costs: resident memory of each of its processes, and processor time over a while.

python bench/memory.py --data-dir DIR [--seconds 30]
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import processes
from results import Result, table


def measure(data_dir: Path, seconds: float) -> Sequence[Result]:
    before = {process.pid: process.cpu_s for process in processes.of_cluster(data_dir)}
    if not before:
        raise SystemExit(f"no process of a cluster in {data_dir} runs")
    time.sleep(seconds)
    after = processes.of_cluster(data_dir)
    used_s = sum(process.cpu_s - before.get(process.pid, process.cpu_s) for process in after)
    results = [Result(f"memory of {process.role}", process.resident_mb, "MB") for process in after]
    return [*results, Result("idle processor time", used_s / seconds * 100, "% of one core", f"over {seconds:g} s")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=30.0)
    args = parser.parse_args()
    print(table(measure(args.data_dir, args.seconds)))


if __name__ == "__main__":
    main()
