"""How long to wait before trying again, and how often something may be tried at all.

Nothing here sleeps or reads a clock: callers do, with the clock that they were given.
Source: client-go util/workqueue/default_rate_limiters.go and util/flowcontrol for the default numbers.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Backoff:
    """A delay that grows with each failure: `first_s`, `first_s * factor`, ... never above `cap_s`."""

    first_s: float = 0.005
    cap_s: float = 1000.0
    factor: float = 2.0
    jitter: float = 0.0
    """A share of the delay, added at random (0.5: up to half as much again), so that many clients do not come back
    together."""
    random: Callable[[], float] = random.random
    """In [0, 1). Tests give a constant."""

    def delay_s(self, failures: int) -> float:
        """The wait after so many failures in a row, the first being 1."""
        # The exponent is bounded so that a key that has failed for a week does not overflow a float.
        base_s = min(self.cap_s, self.first_s * self.factor ** min(max(failures - 1, 0), 64))
        return base_s * (1.0 + self.jitter * self.random())


class Failures(Generic[K]):
    """Counts failures in a row by key; a key costs memory only while it fails."""

    def __init__(self, backoff: Backoff) -> None:
        self._backoff = backoff
        self._count: dict[K, int] = {}

    def failed(self, key: K) -> float:
        """Count one more; returns how long to wait, in seconds."""
        count = self._count[key] = self._count.get(key, 0) + 1
        return self._backoff.delay_s(count)

    def forget(self, key: K) -> None:
        self._count.pop(key, None)

    def count(self, key: K) -> int:
        return self._count.get(key, 0)


class TokenBucket:
    """Allows `burst` at once and `rate_per_s` in the long run. The caller gives the time (monotonic seconds)."""

    __slots__ = ("_at_s", "_burst", "_rate_per_s", "_tokens")

    def __init__(self, rate_per_s: float, burst: float, now_s: float) -> None:
        self._rate_per_s, self._burst = rate_per_s, burst
        self._tokens, self._at_s = float(burst), now_s

    def take(self, now_s: float) -> bool:
        """Take one token if there is one."""
        self._tokens = min(self._burst, self._tokens + (now_s - self._at_s) * self._rate_per_s)
        self._at_s = now_s
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True
