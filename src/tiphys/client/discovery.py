"""What an API server serves, asked once: for whoever works only where a preview of the API is switched on."""

from __future__ import annotations

from typing import Any

import msgspec

from tiphys.api.errors import NotFound
from tiphys.api.kind import Kind
from tiphys.client.interface import Client


class _Resource(msgspec.Struct):
    name: str = ""


class _ResourceList(msgspec.Struct):
    resources: list[_Resource] = []


async def is_served(client: Client, kind: Kind[Any]) -> bool:
    """Whether the kind's version has its resource. Raises ApiError when the server does not say."""
    path = f"/apis/{kind.group}/{kind.version}" if kind.group else f"/api/{kind.version}"
    try:
        answer = await client.raw("GET", path)
    except NotFound:
        return False
    return any(each.name == kind.plural for each in msgspec.json.decode(answer, type=_ResourceList).resources)
