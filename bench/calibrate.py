"""How fast this machine is at the moment, in rounds of fixed work (JSON both ways and a SHA-256) per second.

Shared machines change speed from minute to minute. Figures from different moments compare only after dividing each by
the calibration printed beside it.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass

_DOCUMENT = {
    "metadata": {"name": "a", "labels": {str(i): "v" * 20 for i in range(20)}},
    "spec": [{"x": i, "y": [1, 2, 3]} for i in range(40)],
}


@dataclass(frozen=True)
class Calibration:
    one_core_per_s: float
    two_cores_per_s: float

    def __str__(self) -> str:
        return f"calibration: one core {self.one_core_per_s:.0f}/s, two cores {self.two_cores_per_s:.0f}/s"


def rounds_per_s(seconds: float, clock: Callable[[], float] = time.perf_counter) -> float:
    """On one core, now. With `time.process_time` as the clock, per second of a core that others use as well."""
    rounds, end_s = 0, clock() + seconds
    while clock() < end_s:
        hashlib.sha256(json.dumps(json.loads(json.dumps(_DOCUMENT))).encode() * 4).digest()
        rounds += 1
    return rounds / seconds


def calibrate(seconds: float = 2.0) -> Calibration:
    """Takes twice `seconds`, and one core, then two."""
    one = rounds_per_s(seconds)
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        two = sum(pool.map(rounds_per_s, [seconds, seconds]))
    return Calibration(one, two)


if __name__ == "__main__":
    print(calibrate())
