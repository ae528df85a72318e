"""Room: how many requests run at once, and how long a request may take.

Source: staging/src/k8s.io/apiserver/pkg/server/filters/maxinflight.go and timeout.go.
"""

from __future__ import annotations

from tiphys.api.errors import Timeout, TooManyRequests
from tiphys.apiserver.request import RequestInfo

_READS = frozenset({"get", "list", "watch"})
RETRY_AFTER_S = 1


class InFlight:
    """Two counters, for reads and for writes; members of system:masters are never refused, as upstream."""

    __slots__ = ("max_reads", "max_writes", "reads", "writes")

    def __init__(self, max_reads: int, max_writes: int) -> None:
        self.max_reads = max_reads
        self.max_writes = max_writes
        self.reads = 0
        self.writes = 0

    def enter(self, verb: str, *, privileged: bool) -> bool:
        """Take a place; returns whether it is a reader's (hand it to `leave`). Raises TooManyRequests."""
        if verb in _READS:
            if self.reads >= self.max_reads and not privileged:
                raise _too_many()
            self.reads += 1
            return True
        if self.writes >= self.max_writes and not privileged:
            raise _too_many()
        self.writes += 1
        return False

    def leave(self, *, read: bool) -> None:
        if read:
            self.reads -= 1
        else:
            self.writes -= 1


def _too_many() -> TooManyRequests:
    return TooManyRequests("Too many requests, please try again later.", retry_after_s=RETRY_AFTER_S)


def timed_out(info: RequestInfo) -> Timeout:
    """What a request gets that took too long."""
    return Timeout(
        f"request did not complete within the allotted timeout: {info.verb} {info.path}",
        kind=info.resource,
        group=info.group,
    )
