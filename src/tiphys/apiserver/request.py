"""What the chain knows of a request, before and after each link."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec


class User(msgspec.Struct, frozen=True):
    """Who asks. Source: staging/src/k8s.io/apiserver/pkg/authentication/user."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: Mapping[str, tuple[str, ...]] = {}


ANONYMOUS = User("system:anonymous", groups=("system:unauthenticated",))


class RequestInfo(msgspec.Struct, frozen=True):
    """The path and method, read as upstream's RequestInfo resolver reads them."""

    verb: str
    """create, get, list, watch, update, patch, delete, deletecollection, proxy; or the method in lower case."""
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    """The plural."""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    rest: tuple[str, ...] = ()
    """Path segments after the subresource (proxy)."""
    query: Mapping[str, tuple[str, ...]] = {}


class Attributes(msgspec.Struct, frozen=True):
    """What an authorizer decides on."""

    user: User
    info: RequestInfo
