"""Discovery and OpenAPI of the other servers put beside ours, in the order of the groups' priorities.

What the others say is fetched when they become available and every minute; what could not be fetched is left out (or
shown as stale). Source: staging/src/k8s.io/kube-aggregator/pkg/{apiserver/handler_discovery.go,controllers/openapi*}.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any

import msgspec

from tiphys.api.errors import ApiError
from tiphys.apiserver.aggregation.availability import AGGREGATOR
from tiphys.apiserver.aggregation.proxy import identity_headers
from tiphys.apiserver.aggregation.remotes import GroupVersion, Remote, Remotes
from tiphys.apiserver.chain.exchange import JSON, Answer, Exchange, Handler
from tiphys.apiserver.streaming.backend import Backend
from tiphys.base.clock import Clock

log = logging.getLogger(__name__)

_TIMEOUT_S = 5.0
_REFRESH_S = 60.0
_FIRST = 20_001
"""The aggregator's own group has no APIService, and comes before all others."""
_MAX_BYTES = 32 * 1024 * 1024
_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)
Document = dict[str, Any]


class Described(msgspec.Struct):
    """What one remote says of itself."""

    resources: list[Document]
    """In the aggregated form."""
    v2: Document | None = None
    v3_hash: str = ""


class Descriptions:
    """Kept current by `run`. `generation` counts changes."""

    def __init__(self, remotes: Remotes, backend: Backend, clock: Clock) -> None:
        self._remotes = remotes
        self._backend = backend
        self._clock = clock
        self.by_version: dict[GroupVersion, Described] = {}
        self.generation = 0
        self._awake = asyncio.Event()
        remotes.on_change(self._changed)

    def _changed(self) -> None:
        self.generation += 1
        self._awake.set()

    async def run(self) -> None:
        while True:
            self._awake.clear()
            await self.refresh()
            try:
                async with asyncio.timeout(_REFRESH_S if self._remotes.by_version else None):
                    await self._awake.wait()
            except TimeoutError:
                continue

    async def refresh(self) -> None:
        remotes = list(self._remotes.by_version.values())
        for key in set(self.by_version) - {(one.group, one.version) for one in remotes}:
            del self.by_version[key]
        found = await asyncio.gather(*(self._describe(one) for one in remotes if one.available))
        for remote, described in zip([one for one in remotes if one.available], found, strict=True):
            key = (remote.group, remote.version)
            if described is not None and self.by_version.get(key) != described:
                self.by_version[key] = described
                self.generation += 1

    async def _describe(self, remote: Remote) -> Described | None:
        resources = await self._resources(remote)
        if resources is None:
            return None
        v2 = await self._get(remote, "/openapi/v2", "application/json")
        index = await self._get(remote, "/openapi/v3", "application/json")
        name = remote.discovery_path.lstrip("/")
        entry = ((index or {}).get("paths") or {}).get(name)
        url = str(entry.get("serverRelativeURL", "")) if isinstance(entry, dict) else ""
        return Described(resources, v2, url.partition("hash=")[2] or ("none" if url else ""))

    async def _resources(self, remote: Remote) -> list[Document] | None:
        """From the aggregated document where there is one, else made from the legacy one."""
        shown = await self._get(remote, "/apis", _AGGREGATED)
        if shown is not None and shown.get("kind") == "APIGroupDiscoveryList":
            for group in shown.get("items") or ():
                if (group.get("metadata") or {}).get("name") != remote.group:
                    continue
                for version in group.get("versions") or ():
                    if version.get("version") == remote.version:
                        return list(version.get("resources") or ())
        legacy = await self._get(remote, remote.discovery_path, "application/json")
        return None if legacy is None else _aggregated(legacy, remote)

    async def _get(self, remote: Remote, path: str, accept: str) -> Document | None:
        inside = self._remotes.inside(remote)
        if inside is not None:
            return await _ask(inside, path)
        try:
            host, port = self._remotes.address(remote)
            shown = f"[{host}]" if ":" in host else host
            async with asyncio.timeout(_TIMEOUT_S):
                response = await self._backend.open(
                    "GET", f"https://{shown}:{port}{path}", tls=remote.tls, server_name=remote.host,
                    headers=[*identity_headers(AGGREGATOR), ("Accept", accept)],
                )  # fmt: skip
                async with response:
                    data = b""
                    while len(data) <= _MAX_BYTES and (piece := await response.content.read(_MAX_BYTES)):
                        data += piece
            if response.status != 200 or len(data) > _MAX_BYTES:
                return None
            found = await asyncio.to_thread(msgspec.json.decode, data)
        except (OSError, TimeoutError, msgspec.DecodeError) as error:
            log.info("%s: %s cannot be read: %s", remote.name, path, error)
            return None
        return found if isinstance(found, dict) else None


async def _ask(inside: Handler, path: str) -> Document | None:
    """The document of a server in this process; None: it has none there."""

    async def nothing(_limit: int) -> bytes:
        return b""

    exchange = Exchange("GET", path, "", {"Accept": JSON}, nothing)
    exchange.user = AGGREGATOR
    try:
        reply = await inside(exchange)
    except ApiError:
        return None
    if not isinstance(reply, Answer) or reply.status != 200 or not isinstance(reply.body, bytes):
        return None
    found = msgspec.json.decode(reply.body)
    return found if isinstance(found, dict) else None


def _aggregated(legacy: Document, remote: Remote) -> list[Document]:
    """An APIResourceList in the aggregated form."""
    found: dict[str, Document] = {}
    for resource in legacy.get("resources") or ():
        name, slash, subresource = str(resource.get("name", "")).partition("/")
        kind = {
            "group": resource.get("group") or remote.group, "version": resource.get("version") or remote.version,
            "kind": resource.get("kind", ""),
        }  # fmt: skip
        verbs = list(resource.get("verbs") or ())
        if slash:
            if name in found:
                shown = {"subresource": subresource, "responseKind": kind, "verbs": verbs}
                found[name].setdefault("subresources", []).append(shown)
            continue
        found[name] = {
            "resource": name, "responseKind": kind, "scope": "Namespaced" if resource.get("namespaced") else "Cluster",
            "singularResource": resource.get("singularName", ""), "verbs": verbs,
        }  # fmt: skip
        for field in ("shortNames", "categories"):
            if resource.get(field):
                found[name][field] = resource[field]
    return list(found.values())


class Merger:
    """Our documents with the others' in them."""

    def __init__(self, remotes: Remotes, descriptions: Descriptions) -> None:
        self._remotes = remotes
        self._descriptions = descriptions
        self._made: dict[tuple[str, bytes, int], tuple[bytes, str]] = {}

    def once(self, name: str, ours: bytes, make: Callable[[Document], None]) -> tuple[bytes, str]:
        """(bytes, ETag) of our document as `make` changes it; made once until either side changes."""
        key = (name, hashlib.sha256(ours).digest(), self._descriptions.generation)
        found = self._made.get(key)
        if found is None:
            document = msgspec.json.decode(ours)
            make(document)
            body = msgspec.json.encode(document)
            for other in [other for other in self._made if other[0] == name]:
                del self._made[other]
            found = self._made[key] = (body, hashlib.sha512(body).hexdigest().upper())
        return found

    def _groups(self) -> dict[str, list[Remote]]:
        names = dict.fromkeys(group for group, _ in self._remotes.by_version if group)
        return {name: self._remotes.in_group(name) for name in names}

    def _sort(self, items: list[Any], name_of: Callable[[Any], str]) -> None:
        """By priority, stable for what shares one; ours keep the order that they have."""
        priorities = {"apiregistration.k8s.io": _FIRST, **self._remotes.priorities}
        items.sort(key=lambda item: -priorities.get(name_of(item), 0))

    def group_list(self, document: Document) -> None:
        groups: list[Document] = document["groups"]
        known = {group["name"]: group for group in groups}
        for name, remotes in self._groups().items():
            shown = [remote for remote in remotes if remote.available]
            if not shown:
                continue
            versions = [{"groupVersion": f"{name}/{one.version}", "version": one.version} for one in shown]
            if name in known:
                known[name]["versions"] += versions
            else:
                groups.append({"name": name, "versions": versions, "preferredVersion": versions[0]})
        self._sort(groups, lambda group: str(group["name"]))

    def aggregated(self, document: Document) -> None:
        items: list[Document] = document["items"]
        known = {item["metadata"].get("name", ""): item for item in items}
        for name, remotes in self._groups().items():
            versions = []
            for remote in remotes:
                described = self._descriptions.by_version.get((name, remote.version))
                fresh = described is not None and remote.available
                version: Document = {"version": remote.version, "freshness": "Current" if fresh else "Stale"}
                if described is not None:
                    version["resources"] = described.resources
                versions.append(version)
            if name in known:
                known[name]["versions"] += versions
            else:
                items.append({"metadata": {"name": name}, "versions": versions})
        self._sort(items, lambda item: str(item["metadata"].get("name", "")))

    def group(self, name: str, ours: Document | None) -> Document | None:
        """/apis/NAME; None where no version of it is to be had."""
        shown = [remote for remote in self._remotes.in_group(name) if remote.available]
        versions = [{"groupVersion": f"{name}/{one.version}", "version": one.version} for one in shown]
        if ours is not None:
            ours["versions"] += versions
            return ours
        if not versions:
            return None
        return {
            "kind": "APIGroup", "apiVersion": "v1", "name": name, "versions": versions,
            "preferredVersion": versions[0],
        }  # fmt: skip

    def v3_index(self, document: Document) -> None:
        for remote in self._remotes.by_version.values():
            described = self._descriptions.by_version.get((remote.group, remote.version))
            if described is None or not described.v3_hash:
                continue
            name = remote.discovery_path.lstrip("/")
            document["paths"][name] = {"serverRelativeURL": f"/openapi/v3/{name}?hash={described.v3_hash}"}

    def v2(self, document: Document) -> None:
        """Paths of the remotes' own groups, and definitions that ours lack; one that differs gets a name of its own."""
        for remote in self._remotes.by_version.values():
            described = self._descriptions.by_version.get((remote.group, remote.version))
            if described is None or described.v2 is None:
                continue
            own = {
                path: item
                for path, item in (described.v2.get("paths") or {}).items()
                if path.startswith((f"{remote.discovery_path}/", f"/apis/{remote.group}/"))
            }
            _merge_definitions(document, described.v2.get("definitions") or {}, own)
            for path, item in own.items():
                document["paths"].setdefault(path, item)


def _merge_definitions(document: Document, theirs: Document, paths: Document) -> None:
    ours = document.setdefault("definitions", {})
    wanted = _reachable(theirs, paths)
    renamed: dict[str, str] = {}
    for name in wanted:
        if name in ours and ours[name] != theirs[name]:
            number = 2
            while f"{name}_v{number}" in ours:
                number += 1
            renamed[name] = f"{name}_v{number}"
    for name in wanted:
        definition = _renamed(theirs[name], renamed)
        ours[renamed.get(name, name)] = definition
    for path, item in paths.items():
        paths[path] = _renamed(item, renamed)


def _references(value: Any) -> list[str]:
    found: list[str] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            reference = one.get("$ref")
            if isinstance(reference, str):
                found.append(reference.removeprefix("#/definitions/"))
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one
    return found


def _reachable(definitions: Document, start: Any) -> list[str]:
    found: dict[str, None] = {}
    waiting = _references(start)
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in found:
            found[name] = None
            waiting += _references(definitions[name])
    return list(found)


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if not names:
        return value
    if isinstance(value, dict):
        return {
            key: (
                f"#/definitions/{names[inner.removeprefix('#/definitions/')]}"
                if key == "$ref" and isinstance(inner, str) and inner.removeprefix("#/definitions/") in names
                else _renamed(inner, names)
            )
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return value
