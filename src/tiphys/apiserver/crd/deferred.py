"""Watches whose events must be converted by a webhook before they can be selected and encoded.

Such a watcher gets the events themselves, and makes bytes of them when it is read: conversions are asked for in
batches, and only while someone listens.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

from tiphys.api.errors import ApiError
from tiphys.apiserver.cache.entry import Entry
from tiphys.apiserver.cache.fanout import Form, Group, WatchStream
from tiphys.apiserver.cache.ring import Event
from tiphys.apiserver.cache.selection import Selection
from tiphys.apiserver.crd.versions import View

_BATCH = 128


class DeferredStream(WatchStream):
    """A watch over a view whose entries have to be waited for. What is queued are events, and bookmarks as bytes."""

    immediate = False

    def __init__(
        self, form: Form, view: View, selection: Selection, present: Sequence[Entry], past: Sequence[Event],
        end: Entry | None, bookmarks: bool,
    ) -> None:  # fmt: skip
        super().__init__(form, iter(()), bookmarks)
        self._group = Group(selection, view)
        self._view = view
        self._present, self._past, self._end = list(present), list(past), end

    async def __aiter__(self) -> AsyncIterator[list[bytes]]:
        try:
            async for batch in self._begin():
                yield batch
            async for queued in super().__aiter__():
                made = await self._encoded(queued)
                if made:
                    yield made
        except ApiError as error:
            self.error = error
            yield [self.form.error(error)]
        finally:
            self.close()

    async def _begin(self) -> AsyncIterator[list[bytes]]:
        for at in range(0, len(self._present), _BATCH):
            entries = self._present[at : at + _BATCH]
            await self._view.ready(entries)
            shown = [self._view(entry) for entry in entries]
            matches = self._group.selection.matches
            made = [self.form.event("ADDED", entry) for entry in shown if matches(entry)]
            if made:
                yield made
        for start in range(0, len(self._past), _BATCH):
            made = await self._encoded(self._past[start : start + _BATCH])
            if made:
                yield made
        self._present, self._past = [], []
        if self._end is not None:
            yield [self.form.event("BOOKMARK", self._end)]

    async def _encoded(self, queued: Sequence[Any]) -> list[bytes]:
        entries = []
        for event in queued:
            if isinstance(event, Event):
                entries += [state for state in (event.new, event.old) if state is not None]
                if event.old is not None:
                    entries.append(event.removed())
        await self._view.ready(entries)
        made = []
        for event in queued:
            if not isinstance(event, Event):
                made.append(event)
            elif (seen := self._group.seen(event)) is not None:
                made.append(self.form.event(*seen))
        return made
