from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tiphys.api.kinds import CONFIGMAP
from tiphys.base.backoff import Backoff
from tiphys.base.clock import SystemClock
from tiphys.client.informer import SharedInformer

from .scripted import Scripted, bookmark, config_map, event, listing, refusal, reply, stream

FAST = Backoff(first_s=0.001, cap_s=0.002)


@asynccontextmanager
async def informing(server: Scripted) -> AsyncIterator[tuple[SharedInformer[Any], list[tuple[str, str]]]]:
    changes: list[tuple[str, str]] = []
    async with server.serving() as client:
        informer = SharedInformer(client, CONFIGMAP, clock=SystemClock(), backoff=FAST)
        informer.subscribe(lambda change, old, new: changes.append((change, (new or old).metadata.name)))
        informer.start()
        try:
            yield informer, changes
        finally:
            await informer.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - the condition is about what a real connection brings
            await asyncio.sleep(0.001)


def names(informer: SharedInformer[Any]) -> list[str]:
    return sorted(obj.metadata.name for obj in informer.list())


async def test_one_stream_brings_the_state_and_the_changes() -> None:
    server, hold = Scripted(), asyncio.Event()
    server.answers = [
        stream(
            event("ADDED", config_map("a", 5)),
            event("ADDED", config_map("b", 6)),
            bookmark(7, end=True),
            event("MODIFIED", config_map("a", 8, x="y")),
            event("DELETED", config_map("b", 9)),
            hold=hold,
        )
    ]
    async with informing(server) as (informer, changes):
        await until(lambda: informer.resource_version == "9")
        assert names(informer) == ["a"]
        found = informer.get("a", "default")
        assert found is not None
        assert found.data == {"x": "y"}
        assert changes == [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
        assert len(server.requests) == 1
        query = server.requests[0].query
        assert (query["sendInitialEvents"], query["resourceVersionMatch"]) == ("true", "NotOlderThan")
        hold.set()


@pytest.mark.parametrize(
    "answer",
    [
        reply(refusal(422, "Invalid", "sendInitialEvents is forbidden for watch"), 422),
        # Upstream's server on an etcd that is too old.
        stream(event("ERROR", refusal(500, "InternalError", "the required storage feature is disabled"))),
    ],
    ids=["refused", "not supported below"],
)
async def test_a_server_without_streamed_lists_is_listed_by_pages(answer) -> None:
    server, hold = Scripted(), asyncio.Event()
    server.answers = [
        answer,
        reply(listing(7, config_map("a", 5), token="next")),
        reply(listing(7, config_map("b", 6))),
        stream(event("ADDED", config_map("c", 8)), hold=hold),
    ]
    async with informing(server) as (informer, _):
        await until(lambda: informer.resource_version == "8")
        assert names(informer) == ["a", "b", "c"]
        assert [request.query.get("continue") for request in server.requests[1:3]] == [None, "next"]
        assert server.requests[3].query["resourceVersion"] == "7"
        hold.set()


async def test_a_broken_watch_goes_on_from_the_last_bookmark() -> None:
    server, hold = Scripted(), asyncio.Event()
    server.answers = [
        stream(event("ADDED", config_map("a", 5)), bookmark(6, end=True), bookmark(90)),
        stream(event("ADDED", config_map("b", 91)), hold=hold),
    ]
    async with informing(server) as (informer, changes):
        await until(lambda: informer.resource_version == "91")
        assert server.requests[1].query["resourceVersion"] == "90"
        assert "sendInitialEvents" not in server.requests[1].query
        assert changes == [("ADDED", "a"), ("ADDED", "b")]
        hold.set()


async def test_a_forgotten_revision_means_a_new_list_that_tells_only_what_changed() -> None:
    server, hold = Scripted(), asyncio.Event()
    server.answers = [
        stream(
            event("ADDED", config_map("same", 4)),
            event("ADDED", config_map("changed", 5)),
            event("ADDED", config_map("gone", 6)),
            bookmark(7, end=True),
        ),
        stream(event("ERROR", refusal(410, "Expired"))),
        stream(
            event("ADDED", config_map("same", 4)),
            event("ADDED", config_map("changed", 50)),
            event("ADDED", config_map("new", 51)),
            bookmark(60, end=True),
            hold=hold,
        ),
    ]
    async with informing(server) as (informer, changes):
        await until(lambda: informer.resource_version == "60")
        assert names(informer) == ["changed", "new", "same"]
        assert changes[3:] == [("DELETED", "gone"), ("MODIFIED", "changed"), ("ADDED", "new")]
        hold.set()


async def test_a_failing_subscriber_and_a_bad_event_stop_nobody() -> None:
    server, hold = Scripted(), asyncio.Event()
    server.answers = [
        stream(event("ADDED", config_map("a", 5)), bookmark(6, end=True), event("NONSENSE", config_map("b", 7))),
        stream(
            event("ADDED", config_map("a", 5)), event("ADDED", config_map("b", 8)), bookmark(9, end=True), hold=hold
        ),
    ]
    async with informing(server) as (informer, changes):

        def fail(*_: Any) -> None:
            raise RuntimeError("a subscriber's fault")

        informer.subscribe(fail)
        await until(lambda: ("ADDED", "b") in changes)
        assert names(informer) == ["a", "b"]
        hold.set()


async def test_indexes_follow_changes() -> None:
    server, hold = Scripted(), asyncio.Event()
    server.answers = [
        stream(
            event("ADDED", config_map("a", 5, team="red")),
            bookmark(6, end=True),
            event("MODIFIED", config_map("a", 7, team="blue")),
            hold=hold,
        )
    ]
    async with informing(server) as (informer, _):
        informer.add_index("team", lambda obj: [obj.data.get("team", "")])
        await until(lambda: informer.resource_version == "7")
        assert [obj.metadata.name for obj in informer.indexed("team", "blue")] == ["a"]
        assert list(informer.indexed("team", "red")) == []
        hold.set()


async def test_the_same_arguments_give_the_same_informer() -> None:
    server = Scripted()
    server.answers = [stream(bookmark(1, end=True))]
    async with server.serving() as client:
        assert client.informer(CONFIGMAP) is client.informer(CONFIGMAP)
        assert client.informer(CONFIGMAP) is not client.informer(CONFIGMAP, "default")
