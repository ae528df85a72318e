"""Waiting longer after each failure of the same thing, by the failure's own time.

Source: staging/src/k8s.io/client-go/util/flowcontrol/backoff.go, as the kubelet uses it for restarts and pulls.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _Entry:
    delay_s: float
    updated_s: float


class RestartBackoff:
    """Delays by key: `first_s`, doubled on each `advance`, at most `longest_s`; forgotten after twice that in peace.

    All times are seconds on one clock, the caller's.
    """

    def __init__(self, first_s: float = 10.0, longest_s: float = 300.0) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._entries: dict[str, _Entry] = {}

    def wait_s(self, key: str, since_s: float, now_s: float) -> float:
        """How long `key` still has to wait when it failed at `since_s`; 0: go on."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, since_s):
            return 0.0
        return max(0.0, since_s + entry.delay_s - now_s)

    def wait_since_update_s(self, key: str, now_s: float) -> float:
        """How long `key` has to wait, counted from its last `advance`."""
        entry = self._entries.get(key)
        return max(0.0, entry.updated_s + entry.delay_s - now_s) if entry is not None else 0.0

    def delay_s(self, key: str) -> float:
        """The whole delay now in force, for messages."""
        entry = self._entries.get(key)
        return entry.delay_s if entry else 0.0

    def advance(self, key: str, event_s: float) -> None:
        """Another try: the next wait is twice as long."""
        entry = self._entries.get(key)
        if entry is None or self._expired(entry, event_s):
            self._entries[key] = _Entry(self._first_s, event_s)
        else:
            entry.delay_s = min(entry.delay_s * 2, self._longest_s)
            entry.updated_s = event_s

    def forget(self, prefix: str) -> None:
        """Drop all keys that begin so: their pod is gone."""
        for key in [key for key in self._entries if key.startswith(prefix)]:
            del self._entries[key]

    def _expired(self, entry: _Entry, event_s: float) -> bool:
        return event_s - entry.updated_s > 2 * self._longest_s


def go_duration(seconds: float) -> str:
    """Go's text of a duration of whole seconds: `10s`, `1m20s`, `5m0s`."""
    whole = int(seconds)
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m{left}s"
    return f"{minutes}m{left}s" if minutes else f"{left}s"
