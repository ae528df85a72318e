"""The round of feeds: everyone in turn, a few in each turn of the loop, and others between."""

from __future__ import annotations

import asyncio

from tiphys.apiserver.http_feed import Feeder, Round


class Listed:
    """Stands for a connection that notes who was written to, and when in the order of the loop's turns."""

    held = False

    def __init__(self, name: int, written: list[object]) -> None:
        self._name, self._written = name, written

    def write(self, _data: bytes) -> None:
        self._written.append(self._name)


class Fed:
    """A feed with a batch for every time it is asked."""

    ended = False

    def __init__(self) -> None:
        self.waits: list[bytes] = []

    def take(self) -> list[bytes]:
        batch, self.waits = self.waits, []
        return batch


async def test_other_work_has_its_turn_between_feeds_and_late_events_go_with_the_first() -> None:
    written: list[object] = []
    its_round = Round(asyncio.get_running_loop())
    feeds = [Fed() for _ in range(40)]
    feeders = [Feeder(Listed(n, written), feed, its_round) for n, feed in enumerate(feeds)]  # type: ignore[arg-type]
    for feed, feeder in zip(feeds, feeders, strict=True):
        feed.waits.append(b"first")
        feeder.ready()
        feeder.ready()
    await asyncio.sleep(0)
    first = len(written)
    assert 0 < first < 40
    feeds[39].waits.append(b"second")
    feeders[39].ready()
    written.append("a request")
    for _ in range(40):
        await asyncio.sleep(0)
    assert written == [*range(first), "a request", *range(first, 40)], "each once, in order, and not all at once"
    assert feeds[39].waits == []


async def test_a_feed_whose_sending_fails_stands_in_nobodys_way() -> None:
    written: list[object] = []
    its_round = Round(asyncio.get_running_loop())
    broken, good = Fed(), Fed()
    broken.take = lambda: 1 / 0  # type: ignore[assignment, return-value] # raises
    good.waits.append(b"event")
    for name, feed in enumerate((broken, good)):
        feeder = Feeder(Listed(name, written), feed, its_round)  # type: ignore[arg-type]
        feeder.ready()
        if feed is broken:
            failed = feeder._done
    await asyncio.sleep(0)
    assert written == [1]
    assert isinstance(failed.exception(), ZeroDivisionError)
