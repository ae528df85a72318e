from __future__ import annotations

from pathlib import Path

import pytest

from tiphys.api.errors import Conflict, Expired, InternalError, NotFound, ServiceUnavailable, TooManyRequests
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP
from tiphys.client import rest, transport
from tiphys.client.kubeconfig import Access
from tiphys.client.rest import RestClient

from .scripted import Scripted, bookmark, config_map, event, listing, refusal, reply, stream


async def test_a_listing_fills_in_what_the_list_implies() -> None:
    server = Scripted()
    bare = {key: value for key, value in config_map("a", 5).items() if key in ("metadata", "data")}
    server.answers = [reply(listing(7, bare, token="more"))]
    async with server.serving() as client:
        found = await client.list(CONFIGMAP, "default", label_selector="app=web", limit=1)
    assert server.requests[0].path_qs == "/api/v1/namespaces/default/configmaps?labelSelector=app%3Dweb&limit=1"
    assert (found.resource_version, found.continue_token) == ("7", "more")
    assert (found.items[0].kind, found.items[0].api_version) == ("ConfigMap", "v1")


async def test_refusals_are_the_errors_that_their_status_names() -> None:
    server = Scripted()
    async with server.serving() as client:
        server.answers = [reply(refusal(404, "NotFound", 'configmaps "a" not found'), 404)]
        with pytest.raises(NotFound, match='configmaps "a" not found'):
            await client.get(CONFIGMAP, "a", "default")
        server.answers = [reply(refusal(409, "Conflict"), 409)]
        with pytest.raises(Conflict):
            await client.update(CONFIGMAP, new(CONFIGMAP, "a", "default"))
        server.answers = [reply("<html>teapot</html>", 500)]
        with pytest.raises(InternalError, match="teapot"):
            await client.get(CONFIGMAP, "a", "default")


async def test_a_server_that_asks_for_patience_gets_it_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Scripted()
    slow = reply(refusal(429, "TooManyRequests"), 429, **{"Retry-After": "0"})
    server.answers = [slow, slow, reply(config_map("a", 5))]
    async with server.serving() as client:
        assert (await client.get(CONFIGMAP, "a", "default")).metadata.name == "a"
        assert len(server.requests) == 3
        server.requests.clear()
        server.answers = [slow]
        with pytest.raises(TooManyRequests):
            await client.get(CONFIGMAP, "a", "default")
        assert len(server.requests) == transport.RETRIES_MAX + 1


async def test_a_server_that_is_not_there_is_said_in_one_sentence() -> None:
    client = RestClient(Access(server="http://127.0.0.1:1"))
    with pytest.raises(ServiceUnavailable, match=r"cannot reach http://127\.0\.0\.1:1"):
        await client.get(CONFIGMAP, "a", "default")
    await client.close()


async def test_a_rotated_token_is_read_again_when_refused(tmp_path: Path) -> None:
    server = Scripted()
    token = tmp_path / "token"
    token.write_text("old\n")
    server.answers = [reply(config_map("a", 5)), reply(refusal(401, "Unauthorized"), 401), reply(config_map("a", 5))]
    async with server.serving(token_file=token) as client:
        await client.get(CONFIGMAP, "a", "default")
        token.write_text("new\n")
        await client.get(CONFIGMAP, "a", "default")
    assert [request.headers["Authorization"] for request in server.requests] == [
        "Bearer old",
        "Bearer old",
        "Bearer new",
    ]


async def test_deletion_names_what_it_means() -> None:
    server = Scripted()
    bodies = []

    async def answer(request):  # type: ignore[no-untyped-def] # aiohttp's own signature
        bodies.append(await request.json())
        return await reply({"kind": "Status", "status": "Success"})(request)

    server.answers = [answer]
    async with server.serving() as client:
        await client.delete(CONFIGMAP, "a", "default", uid="u", grace_period_s=0, propagation="Orphan")
    assert bodies == [
        {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": 0,
            "preconditions": {"uid": "u"},
            "propagationPolicy": "Orphan",
        }
    ]


async def test_a_watch_yields_changes_and_ends_with_the_servers_error() -> None:
    server = Scripted()
    gone = event("ERROR", refusal(410, "Expired", "too old resource version"))
    server.answers = [stream(event("ADDED", config_map("a", 5)), bookmark(6), gone)]
    seen = []
    async with server.serving() as client:
        with pytest.raises(Expired, match="too old"):  # noqa: PT012 - it must end after what it yielded
            async for change in client.watch(CONFIGMAP, "default", resource_version="4"):
                seen.append((change.type, change.object.metadata.resource_version))
    assert seen == [("ADDED", "5"), ("BOOKMARK", "6")]
    query = server.requests[0].query
    assert (query["watch"], query["allowWatchBookmarks"], query["resourceVersion"]) == ("true", "true", "4")
    assert rest.WATCH_MIN_S <= int(query["timeoutSeconds"]) <= 2 * rest.WATCH_MIN_S


async def test_events_longer_than_a_chunk_arrive_whole() -> None:
    server = Scripted()
    server.answers = [
        stream(event("ADDED", config_map("a", 5, big="x" * 1_000_000)), event("ADDED", config_map("b", 6)))
    ]
    async with server.serving() as client:
        seen = [change.object async for change in client.watch(CONFIGMAP)]
    assert [obj.metadata.name for obj in seen] == ["a", "b"]
    assert len(seen[0].data["big"]) == 1_000_000
