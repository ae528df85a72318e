"""When the node is low on something: signals, thresholds, and how long they must be met. Pure.

Source: pkg/kubelet/eviction/{helpers.go,eviction_manager.go}, pkg/kubelet/eviction/api/types.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiphys.base.cron import duration_s
from tiphys.base.quantity import value

CONDITIONS = {
    "memory.available": "MemoryPressure",
    "nodefs.available": "DiskPressure",
    "nodefs.inodesFree": "DiskPressure",
    "imagefs.available": "DiskPressure",
    "imagefs.inodesFree": "DiskPressure",
    "pid.available": "PIDPressure",
}
RESOURCES = {
    "memory.available": "memory",
    "nodefs.available": "ephemeral-storage",
    "nodefs.inodesFree": "inodes",
    "imagefs.available": "ephemeral-storage",
    "imagefs.inodesFree": "inodes",
    "pid.available": "pids",
}
DEFAULT_HARD = {
    "memory.available": "100Mi",
    "nodefs.available": "10%",
    "nodefs.inodesFree": "5%",
    "imagefs.available": "15%",
    "imagefs.inodesFree": "5%",
}


@dataclass(frozen=True, slots=True)
class Observation:
    """Of one signal."""

    available: int
    capacity: int


@dataclass(frozen=True, slots=True)
class Amount:
    """Absolute, or a share of the capacity."""

    quantity: int = 0
    share: float | None = None

    def of(self, capacity: int) -> int:
        return self.quantity if self.share is None else int(self.share * capacity)


@dataclass(frozen=True, slots=True)
class Threshold:
    signal: str
    amount: Amount
    grace_s: float = 0.0
    """0: hard."""
    reclaim: Amount = Amount()
    """How much beyond the threshold must be free before it is over."""

    def met(self, seen: Observation, *, still: bool) -> bool:
        limit = self.amount.of(seen.capacity)
        return seen.available < limit + (self.reclaim.of(seen.capacity) if still else 0)


def parse_amount(signal: str, text: str) -> Amount:
    """`100Mi` or `10%`. Raises ValueError."""
    if text.endswith("%"):
        try:
            share = float(text[:-1])
        except ValueError:
            share = -1.0
        if not 0 <= share <= 100:
            raise ValueError(f"eviction percentage threshold {signal} must be >= 0% and <= 100%: {text}")
        return Amount(share=share / 100)
    quantity = value(text)
    if quantity < 0:
        raise ValueError(f"eviction threshold {signal} cannot be negative: {text}")
    return Amount(quantity)


def thresholds(
    hard: Mapping[str, str],
    soft: Mapping[str, str] | None = None,
    soft_grace: Mapping[str, str] | None = None,
    minimum_reclaim: Mapping[str, str] | None = None,
) -> list[Threshold]:
    """From a KubeletConfiguration's fields. Raises ValueError."""
    graces = {signal: duration_s(text) for signal, text in (soft_grace or {}).items()}
    reclaims = {signal: parse_amount(signal, text) for signal, text in (minimum_reclaim or {}).items()}
    for signal in (*hard, *(soft or {}), *graces, *reclaims):
        if signal not in CONDITIONS:
            raise ValueError(f"unsupported eviction signal {signal}")
    found = []
    for given, is_soft in ((hard, False), (soft or {}, True)):
        for signal, text in given.items():
            if is_soft and signal not in graces:
                raise ValueError(f"grace period must be specified for the soft eviction threshold {signal}")
            amount = parse_amount(signal, text)
            if amount in (Amount(), Amount(share=0.0), Amount(share=1.0)):
                continue  # switched off
            grace_s = graces[signal] if is_soft else 0.0
            found.append(Threshold(signal, amount, grace_s, reclaims.get(signal, Amount())))
    return found


@dataclass(frozen=True, slots=True)
class Verdict:
    conditions: tuple[str, ...]
    due: tuple[Threshold, ...]
    """Met for long enough, memory first: something must go."""


@dataclass(slots=True)
class PressureState:
    """What was seen, over time."""

    thresholds: Sequence[Threshold]
    transition_s: float = 300.0
    """A condition stays for this long after its cause has gone."""
    _since: dict[Threshold, float] = field(default_factory=dict)
    _last: dict[str, float] = field(default_factory=dict)

    def look(self, seen: Mapping[str, Observation], now_s: float) -> Verdict:
        met = [
            threshold
            for threshold in self.thresholds
            if threshold.signal in seen and threshold.met(seen[threshold.signal], still=threshold in self._since)
        ]
        self._since = {threshold: self._since.get(threshold, now_s) for threshold in met}
        for threshold in met:
            self._last[CONDITIONS[threshold.signal]] = now_s
        conditions = sorted(name for name, last_s in self._last.items() if now_s - last_s < self.transition_s)
        due = [threshold for threshold in met if now_s - self._since[threshold] >= threshold.grace_s]
        due.sort(key=lambda threshold: threshold.signal != "memory.available")
        return Verdict(tuple(conditions), tuple(due))
