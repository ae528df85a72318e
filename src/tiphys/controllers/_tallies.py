"""Counts what happens again and again: `Watch.tally`. Source: client-go util/flowcontrol/backoff.go (what expires)."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from datetime import datetime, timedelta

from tiphys.controllers._spec import Tally

FORGET_AFTER = timedelta(minutes=30)
TALLIES_MAX = 10_000


class Tallies(OrderedDict[Hashable, Tally]):
    """The latest things counted, at most TALLIES_MAX, the latest at the end."""

    def count(self, what: Hashable, now: datetime) -> None:
        known = self.pop(what, Tally())
        fresh = known.last is not None and now - known.last <= FORGET_AFTER
        self[what] = Tally(known.times + 1 if fresh else 1, now)
        if len(self) > TALLIES_MAX:
            self.popitem(last=False)
