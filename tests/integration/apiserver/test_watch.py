"""Watches over HTTPS: order, selection, end of time, too old, other shapes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from api_harness import ADMIN_TOKEN, RunningServer


@pytest.fixture
async def session(api: RunningServer) -> AsyncIterator[aiohttp.ClientSession]:
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
    connector = aiohttp.TCPConnector(ssl=api.tls())
    async with aiohttp.ClientSession(api.url, headers=headers, connector=connector) as opened:
        yield opened


async def events(response: aiohttp.ClientResponse, count: int) -> list[Any]:
    found = []
    async with asyncio.timeout(10):
        while len(found) < count:
            line = await response.content.readline()
            assert line, "the watch ended early"
            found.append(json.loads(line))
    return found


async def post(session: aiohttp.ClientSession, namespace: str, name: str, **labels: str) -> None:
    body = {"metadata": {"name": name, "labels": labels}}
    async with session.post(f"/api/v1/namespaces/{namespace}/configmaps", json=body) as answer:
        assert answer.status == 201


async def test_changes_arrive_in_order(session: aiohttp.ClientSession, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    await post(session, namespace, "a")
    async with session.get(path + "?watch=true") as response:
        assert (await events(response, 1))[0]["type"] == "ADDED"
        await post(session, namespace, "b")
        await session.delete(f"{path}/a")
        found = await events(response, 2)
    assert [(e["type"], e["object"]["metadata"]["name"]) for e in found] == [("ADDED", "b"), ("DELETED", "a")]
    versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in found]
    assert versions == sorted(versions)


async def test_events_as_messages(session: aiohttp.ClientSession, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    async with session.ws_connect(path + "?watch=true") as socket:
        await post(session, namespace, "a")
        event = json.loads(await socket.receive_str(timeout=10))
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "a")
        await socket.ping(b"still there?")
        await session.delete(f"{path}/a")
        assert json.loads(await socket.receive_str(timeout=10))["type"] == "DELETED"


async def test_leaving_a_selection_is_a_deletion(session: aiohttp.ClientSession, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    async with session.get(path + "?watch=1&labelSelector=l%3Dx") as response:
        await post(session, namespace, "a", l="x")
        patch = {"metadata": {"labels": {"l": "y"}}}
        headers = {"Content-Type": "application/merge-patch+json"}
        await session.patch(f"{path}/a", data=json.dumps(patch), headers=headers)
        assert [e["type"] for e in await events(response, 2)] == ["ADDED", "DELETED"]


async def test_it_ends_when_its_time_is_up(session: aiohttp.ClientSession, namespace: str) -> None:
    async with session.get(f"/api/v1/namespaces/{namespace}/configmaps?watch=1&timeoutSeconds=1") as response:
        async with asyncio.timeout(5):
            assert await response.content.read() == b""


async def test_initial_events_end_with_a_bookmark(session: aiohttp.ClientSession, namespace: str) -> None:
    await post(session, namespace, "a")
    query = "watch=1&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan"
    async with session.get(f"/api/v1/namespaces/{namespace}/configmaps?{query}") as response:
        added, bookmark = await events(response, 2)
    assert added["type"] == "ADDED"
    assert bookmark["type"] == "BOOKMARK"
    assert bookmark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_as_table(session: aiohttp.ClientSession, namespace: str) -> None:
    await post(session, namespace, "a")
    headers = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1"
    async with session.get(path, headers=headers) as response:
        event = (await events(response, 1))[0]
    assert (event["object"]["kind"], event["object"]["rows"][0]["cells"][0]) == ("Table", "a")


async def test_as_protobuf(session: aiohttp.ClientSession, namespace: str) -> None:
    await post(session, namespace, "a")
    headers = {"Accept": "application/vnd.kubernetes.protobuf;stream=watch"}
    path = f"/api/v1/namespaces/{namespace}/configmaps?watch=1"
    async with session.get(path, headers=headers) as response:
        assert response.headers["Content-Type"] == "application/vnd.kubernetes.protobuf;stream=watch"
        async with asyncio.timeout(10):
            length = int.from_bytes(await response.content.readexactly(4), "big")
            frame = await response.content.readexactly(length)
    assert b"ADDED" in frame
    assert b"k8s\x00" in frame
