"""What watchers see: order, selections, the past, bookmarks, and what happens to slow ones."""

import asyncio
import json

import pytest

from tiphys.api.errors import BadRequest, Invalid
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, EVENT, EVENTS_EVENT, NAMESPACE, POD
from tiphys.api.kinds.core.pod.containers import Container
from tiphys.api.meta.schema import copy_of
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.cache import fanout, ring
from tiphys.apiserver.registry.interface import WatchOptions
from tiphys.apiserver.registry.registry import open_registry


def config(name: str, **labels: str):
    made = new(CONFIGMAP, name, "default", data={"a": "1"})
    made.metadata.labels = labels
    return made


async def relabel(registry, opts, name: str, **labels: str):
    def change(old):
        changed = copy_of(old)
        changed.metadata.labels = labels
        return changed

    return (await registry.update(CONFIGMAP, "default", name, change, opts))[0]


async def seen(stream, count: int) -> list[tuple[str, str, int]]:
    """(type, name, resourceVersion) of the next events."""
    events: list[tuple[str, str, int]] = []

    async def read() -> None:
        async for batch in stream:
            for data in batch:
                assert data.endswith(b"}\n")
                event = json.loads(data)
                meta = event["object"]["metadata"]
                events.append((event["type"], meta.get("name", ""), int(meta.get("resourceVersion", 0))))
            if len(events) >= count:
                return

    await asyncio.wait_for(read(), 5)
    stream.close()
    assert len(events) == count
    return events


async def test_events_follow_in_order_and_the_deleted_object_bears_its_deletion(registry, opts) -> None:
    stream = await registry.watch(CONFIGMAP, "default", WatchOptions(resource_version=str(registry.revision)))
    first = await registry.create(CONFIGMAP, "default", config("a"), opts)
    second = await relabel(registry, opts, "a", x="y")
    gone = await registry.delete(CONFIGMAP, "default", "a", DeleteOptions(), opts)
    assert await seen(stream, 3) == [
        ("ADDED", "a", first.revision),
        ("MODIFIED", "a", second.revision),
        ("DELETED", "a", gone.entry.revision),
    ]
    assert first.revision < second.revision < gone.entry.revision


@pytest.mark.parametrize("extra", [-1, 0, 1, 3])
async def test_what_was_there_comes_whole_however_much_it_is(registry, opts, extra) -> None:
    start = str(registry.revision)
    names = [f"c-{n:04}" for n in range(2 * fanout._INITIAL_BATCH + extra)]
    for name in names:
        await registry.create(CONFIGMAP, "default", config(name), opts)
    for options in (WatchOptions(resource_version=start), WatchOptions(resource_version="0")):
        stream = await registry.watch(CONFIGMAP, "default", options)
        assert [name for _, name, _ in await seen(stream, len(names))] == names


async def test_leaving_a_selection_is_deleted_and_entering_is_added(registry, opts) -> None:
    start = str(registry.revision)
    streams = [
        await registry.watch(CONFIGMAP, "", WatchOptions(resource_version=start, label_selector="app=web")),
        await registry.watch(CONFIGMAP, "", WatchOptions(resource_version=start, label_selector="app=web")),
    ]
    await registry.create(CONFIGMAP, "default", config("other"), opts)
    await registry.create(CONFIGMAP, "default", config("a", app="web"), opts)
    left = await relabel(registry, opts, "a", app="db")
    await relabel(registry, opts, "a", app="web")
    await relabel(registry, opts, "a", app="web", x="y")
    want = ["ADDED", "DELETED", "ADDED", "MODIFIED"]
    for stream in streams:
        events = await seen(stream, 4)
        assert [kind for kind, _, _ in events] == want
        assert events[1][2] == left.revision
    # The same events, from the past.
    later = await registry.watch(CONFIGMAP, "", WatchOptions(resource_version=start, label_selector="app=web"))
    assert await seen(later, 4) == events


async def test_watchers_of_one_thing_share_the_encoded_event(registry, opts) -> None:
    options = WatchOptions(resource_version=str(registry.revision))
    one, two = await registry.watch(CONFIGMAP, "", options), await registry.watch(CONFIGMAP, "default", options)
    await registry.create(CONFIGMAP, "default", config("a"), opts)
    first, second = await anext(aiter(one)), await anext(aiter(two))
    assert first[0] is second[0]


async def test_without_a_version_what_is_there_comes_first(registry, opts) -> None:
    for name in "ba":
        await registry.create(CONFIGMAP, "default", config(name), opts)
    stream = await registry.watch(CONFIGMAP, "default", WatchOptions())
    await registry.create(CONFIGMAP, "default", config("c"), opts)
    assert [event[:2] for event in await seen(stream, 3)] == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def test_initial_events_end_with_the_annotated_bookmark(registry, opts) -> None:
    await registry.create(CONFIGMAP, "default", config("a"), opts)
    options = WatchOptions(send_initial_events=True, resource_version_match="NotOlderThan", allow_bookmarks=True)
    stream = await registry.watch(CONFIGMAP, "default", options)
    batch = [json.loads(data) for data in await anext(aiter(stream))]
    assert [event["type"] for event in batch] == ["ADDED", "BOOKMARK"]
    assert batch[1]["object"]["metadata"] == {
        "resourceVersion": str(registry.revision),
        "annotations": {"k8s.io/initial-events-end": "true"},
    }
    assert batch[1]["object"]["kind"] == "ConfigMap"


async def test_bookmarks_tell_of_progress_elsewhere(registry, opts, clock) -> None:
    start = registry.revision
    stream = await registry.watch(POD, "", WatchOptions(resource_version=str(start), allow_bookmarks=True))
    quiet = await registry.watch(POD, "", WatchOptions(resource_version=str(start)))
    await registry.create(CONFIGMAP, "default", config("a"), opts)
    await clock.advance(60)
    assert await seen(stream, 1) == [("BOOKMARK", "", registry.revision)]
    reading = asyncio.ensure_future(anext(aiter(quiet)))
    await asyncio.sleep(0)
    assert not reading.done()
    reading.cancel()


async def test_a_version_out_of_reach_is_an_error_event(registry, opts, monkeypatch) -> None:
    monkeypatch.setattr(ring, "MAX_EVENTS", 3)
    start = registry.revision
    for name in "abcde":
        await registry.create(CONFIGMAP, "default", config(name), opts)
    stream = await registry.watch(CONFIGMAP, "", WatchOptions(resource_version=str(start)))
    batches = [batch async for batch in stream]
    status = json.loads(batches[0][0])
    assert (status["type"], status["object"]["code"], status["object"]["reason"]) == ("ERROR", 410, "Expired")
    assert status["object"]["message"] == f"too old resource version: {start} ({start + 2})"
    assert stream.error is not None
    inside = await registry.watch(CONFIGMAP, "", WatchOptions(resource_version=str(start + 2)))
    assert [name for _, name, _ in await seen(inside, 3)] == ["c", "d", "e"]


async def test_age_empties_the_past_but_for_the_newest(registry, opts, clock, monkeypatch) -> None:
    monkeypatch.setattr(ring, "KEPT_ANYWAY", 1)
    start = registry.revision
    await registry.create(CONFIGMAP, "default", config("a"), opts)
    await clock.advance(ring.MAX_AGE_S + 1)
    await registry.create(CONFIGMAP, "default", config("b"), opts)
    assert (await registry.watch(CONFIGMAP, "", WatchOptions(resource_version=str(start)))).error is not None
    assert (await registry.watch(CONFIGMAP, "", WatchOptions(resource_version=str(start + 1)))).error is None


async def test_a_watcher_that_does_not_read_is_cut_off(registry, opts, monkeypatch) -> None:
    monkeypatch.setattr(fanout, "MAX_QUEUED", 2)
    stream = await registry.watch(CONFIGMAP, "", WatchOptions(resource_version=str(registry.revision)))
    for name in "abc":
        await registry.create(CONFIGMAP, "default", config(name), opts)
    assert stream.slow
    assert [batch async for batch in stream] == []


async def test_field_selections_find_their_watchers(registry, opts) -> None:
    start = str(registry.revision)
    mine = await registry.watch(
        CONFIGMAP, "default", WatchOptions(resource_version=start, field_selector="metadata.name=b")
    )
    not_mine = await registry.watch(
        CONFIGMAP, "default", WatchOptions(resource_version=start, field_selector="metadata.name!=b")
    )
    for name in "abc":
        await registry.create(CONFIGMAP, "default", config(name), opts)
    assert [name for _, name, _ in await seen(mine, 1)] == ["b"]
    assert [name for _, name, _ in await seen(not_mine, 2)] == ["a", "c"]
    present = await registry.watch(CONFIGMAP, "default", WatchOptions(field_selector="metadata.name=c"))
    assert [name for _, name, _ in await seen(present, 1)] == ["c"]


async def test_a_moved_pod_leaves_one_node_and_enters_another(registry, opts) -> None:
    pod = new(POD, "p", "default")
    pod.spec.containers = [Container(name="c", image="i")]
    await registry.create(POD, "default", pod, opts)
    start = str(registry.revision)
    nowhere = await registry.watch(POD, "", WatchOptions(resource_version=start, field_selector="spec.nodeName="))
    node = await registry.watch(POD, "", WatchOptions(resource_version=start, field_selector="spec.nodeName=n1"))

    def bind(old):
        bound = copy_of(old)
        bound.spec.node_name = "n1"
        return bound

    await registry.rewrite(POD, "default", "p", bind)
    assert [kind for kind, _, _ in await seen(nowhere, 1)] == ["DELETED"]
    assert [kind for kind, _, _ in await seen(node, 1)] == ["ADDED"]


async def test_both_event_kinds_are_one_storage(registry, opts) -> None:
    start = str(registry.revision)
    streams = [await registry.watch(kind, "", WatchOptions(resource_version=start)) for kind in (EVENT, EVENTS_EVENT)]
    event = new(EVENT, "e", "default", reason="Started", message="hello", type="Normal")
    event.involved_object.kind, event.involved_object.namespace = "Pod", "default"
    await registry.create(EVENT, "default", event, opts)
    core, events = [json.loads((await anext(aiter(stream)))[0])["object"] for stream in streams]
    assert (core["apiVersion"], core["message"], core["involvedObject"]["kind"]) == ("v1", "hello", "Pod")
    assert (events["apiVersion"], events["note"], events["regarding"]["kind"]) == ("events.k8s.io/v1", "hello", "Pod")
    assert registry.cache_of(EVENTS_EVENT).get("default", "e").obj.note == "hello"


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (WatchOptions(send_initial_events=True), Invalid, "sendInitialEvents requires setting resourceVersionMatch"),
        (WatchOptions(resource_version_match="NotOlderThan"), Invalid, "forbidden for watch unless sendInitialEvents"),
        (WatchOptions(resource_version="x"), BadRequest, 'strconv.ParseUint: parsing "x": invalid syntax'),
        (WatchOptions(field_selector="spec.x=y"), BadRequest, "spec.x"),
        (WatchOptions(label_selector="a=b=c"), BadRequest, "found '=', expected"),
    ],
)
async def test_bad_options_are_refused(registry, options, error, message) -> None:
    with pytest.raises(error, match=message):
        await registry.watch(CONFIGMAP, "", options)


async def test_subscribers_get_entries_in_order(registry, opts) -> None:
    calls: list[tuple[str, str | None, str | None]] = []
    stop = registry.cache_of(CONFIGMAP).subscribe(
        lambda kind, new_entry, old_entry: calls.append(
            (kind, new_entry and new_entry.obj.metadata.labels.get("v"), old_entry and old_entry.name)
        )
    )
    await registry.create(CONFIGMAP, "default", config("a", v="1"), opts)
    await relabel(registry, opts, "a", v="2")
    await registry.delete(CONFIGMAP, "default", "a", DeleteOptions(), opts)
    stop()
    await registry.create(CONFIGMAP, "default", config("b"), opts)
    assert calls == [("ADDED", "1", None), ("MODIFIED", "2", "a"), ("DELETED", None, "a")]


async def test_a_watch_goes_on_over_a_restart(registry, store, clock, opts) -> None:
    start = str(registry.revision)
    await registry.create(CONFIGMAP, "default", config("a"), opts)
    await registry.delete(CONFIGMAP, "default", "a", DeleteOptions(), opts)
    await registry.create(CONFIGMAP, "default", config("b"), opts)
    await registry.close()
    again = await open_registry(store, clock)
    stream = await again.watch(CONFIGMAP, "", WatchOptions(resource_version=start))
    assert [event[:2] for event in await seen(stream, 3)] == [("ADDED", "a"), ("DELETED", "a"), ("ADDED", "b")]
    await again.close()


class Untapped:
    """A store as another process's would be: all one can do is watch."""

    def __init__(self, store) -> None:
        self._store = store

    def __getattr__(self, name: str):
        if name == "tap":
            raise AttributeError(name)
        return getattr(self._store, name)


async def test_a_store_elsewhere_is_followed_through_its_watch(store, clock, opts) -> None:
    registry = await open_registry(Untapped(store), clock)
    await registry.create(NAMESPACE, "", new(NAMESPACE, "default"), opts)
    stream = await registry.watch(CONFIGMAP, "", WatchOptions())
    entry = await registry.create(CONFIGMAP, "default", config("a"), opts)
    assert (await registry.get(CONFIGMAP, "default", "a")).revision == entry.revision
    await relabel(registry, opts, "a", x="y")
    assert [event[0] for event in await seen(stream, 2)] == ["ADDED", "MODIFIED"]
    await registry.close()
