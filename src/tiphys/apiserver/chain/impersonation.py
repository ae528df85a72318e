"""Acting as another: the Impersonate-* headers, and the rights that they take.

There are five modes, tried in this order. Four are constrained (KEP-5284): the requester needs the verb
`impersonate:MODE` for whom it becomes, and `impersonate-on:MODE:VERB` for what it does as such. The fifth needs the
verb `impersonate` alone, for every part of the identity.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/filters/impersonation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

from msgspec.structs import replace

from tiphys.api import names
from tiphys.api.errors import BadRequest, Forbidden
from tiphys.apiserver.authz.authorizer import MASTERS, Authorizer
from tiphys.apiserver.authz.rbac import groups_of_service_account, split_service_account
from tiphys.apiserver.chain.exchange import Exchange
from tiphys.apiserver.chain.forbidden import denied
from tiphys.apiserver.request import RequestInfo, User

_EXTRA = "impersonate-extra-"
_AUTHENTICATED, _UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
_AUTHENTICATION_GROUP = "authentication.k8s.io"
_NODE_PREFIX, _NODES = "system:node:", "system:nodes"
_NODE_KEY = "authentication.kubernetes.io/node-name"
_NODE_KEYS = "authentication.kubernetes.io/associated-node-keys"
_MANY = 4
"""From so many groups (or values) on, the right to all of them is asked for first."""
_REMEMBERED = 1024
"""Requesters whose last mode is remembered."""


def asks(exchange: Exchange) -> bool:
    """Whether there is anything for `Impersonation` to do."""
    return any(name.lower().startswith("impersonate-") for name in exchange.headers)


class Impersonation:
    """Whom requests are to be taken for."""

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer
        self._last: dict[str, _Mode] = {}
        """The mode with which a requester succeeded last: tried first."""

    async def user_of(self, exchange: Exchange) -> tuple[User, str]:
        """The user, and the constraint under which it is allowed (empty: none). Raises BadRequest, Forbidden."""
        wanted, requester = _wanted(exchange), exchange.user
        if not wanted.name:
            if wanted.groups or wanted.uid or wanted.extra:
                raise BadRequest(f"requested {_go_text(wanted)} without impersonating a user name")
            return requester, ""
        first: Forbidden | None = None
        last = self._last.get(requester.name)
        for mode in MODES if last is None else (last, *(mode for mode in MODES if mode is not last)):
            if mode.covers is not None and not mode.covers(wanted, requester):
                continue
            try:
                user = await self._as(mode, wanted, requester, exchange.info)
            except Forbidden as error:
                first = first or error
                continue
            if len(self._last) >= _REMEMBERED:
                self._last.clear()
            self._last[requester.name] = mode
            return user, mode.constraint
        if first is None:
            raise Forbidden("all impersonation modes failed")
        raise first

    async def _as(self, mode: _Mode, wanted: User, requester: User, info: RequestInfo) -> User:
        """Raises Forbidden."""
        shown = _without_details(requester) if mode.name == "associated-node" else requester
        check = _Check(self._authorizer, shown, mode)
        if mode.constraint:
            on = replace(info, verb=f"impersonate-on:{mode.name}:{info.verb}")
            await self._authorizer.check(shown, on)
        groups = await check.name(wanted)
        if wanted.uid:
            await check.part(_AUTHENTICATION_GROUP, "uids", wanted.uid)
        await check.groups(wanted.groups)
        await check.extras(wanted.extra)
        if wanted.name == "system:anonymous":
            groups = _with(groups, _UNAUTHENTICATED)
        elif _UNAUTHENTICATED not in groups:
            groups = _with(groups, _AUTHENTICATED)
        return User(wanted.name, wanted.uid, groups, wanted.extra)


class _Mode:
    """`covers`: whether the mode is for such a user at all; None: it is for all, and not constrained."""

    def __init__(self, name: str, covers: Callable[[User, User], bool] | None) -> None:
        self.name, self.covers = name, covers
        self.constraint = f"impersonate:{name}" if covers is not None else ""
        self.verb = self.constraint or "impersonate"
        self.group = _AUTHENTICATION_GROUP if covers is not None else ""


def _node(user: User) -> str:
    """The node whose kubelet has this name, or nothing."""
    name = user.name.removeprefix(_NODE_PREFIX)
    return "" if name == user.name or list(names.dns_subdomain(name)) else name


def _only_named(user: User) -> bool:
    return not (user.uid or user.groups or user.extra)


def _own_node(wanted: User, requester: User) -> bool:
    node = _node(wanted)
    if not node or not _only_named(wanted) or split_service_account(requester.name) is None:
        return False
    return tuple(requester.extra.get(_NODE_KEY, ())) == (node,)


MODES = (
    _Mode("associated-node", _own_node),
    _Mode("arbitrary-node", lambda wanted, _: _only_named(wanted) and bool(_node(wanted))),
    _Mode("serviceaccount", lambda wanted, _: _only_named(wanted) and split_service_account(wanted.name) is not None),
    _Mode("user-info", lambda wanted, _: not _node(wanted) and split_service_account(wanted.name) is None),
    _Mode("", None),
)


class _Check:
    """May the requester become this, part by part? Each method raises Forbidden."""

    def __init__(self, authorizer: Authorizer, requester: User, mode: _Mode) -> None:
        self._authorizer, self._requester, self._mode = authorizer, requester, mode

    def _info(self, group: str, resource: str, name: str, *, namespace: str = "", below: str = "") -> RequestInfo:
        return RequestInfo(
            verb=self._mode.verb, path="", is_resource=True, group=group, version="v1", resource=resource,
            subresource=below, namespace=namespace, name=name,
        )  # fmt: skip

    async def part(self, group: str, resource: str, name: str, *, namespace: str = "", below: str = "") -> None:
        info = self._info(group, resource, name, namespace=namespace, below=below)
        await self._authorizer.check(self._requester, info)

    async def name(self, wanted: User) -> tuple[str, ...]:
        """The groups that go with the name."""
        account = split_service_account(wanted.name)
        if account is not None:
            await self.part(self._mode.group, "serviceaccounts", account[1], namespace=account[0])
            return wanted.groups or tuple(groups_of_service_account(account[0]))
        node = _node(wanted) if self._mode.constraint else ""
        if not node:
            await self.part(self._mode.group, "users", wanted.name)
            return wanted.groups
        # A right to the own node is a right for every node that the requester may run on.
        await self.part(self._mode.group, "nodes", "*" if self._mode.name == "associated-node" else node)
        return (_NODES,)

    async def groups(self, groups: tuple[str, ...]) -> None:
        if self._mode.constraint:
            if "" in groups:
                self._refuse("groups", "", "impersonating the empty string group is not allowed")
            if MASTERS in groups:
                self._refuse("groups", MASTERS, "impersonating the system:masters group is not allowed")
            if len(groups) >= _MANY and await self._all(self._info(self._mode.group, "groups", "*")):
                return
        for group in groups:
            await self.part(self._mode.group, "groups", group)

    async def extras(self, extra: Mapping[str, tuple[str, ...]]) -> None:
        if self._mode.constraint:
            for key, values in extra.items():
                why = _bad_extra(key, values)
                if why:
                    self._refuse("userextras", "", why, group=_AUTHENTICATION_GROUP)
            many = len(extra) >= _MANY or sum(map(len, extra.values())) >= _MANY
            if many and await self._all(self._info(_AUTHENTICATION_GROUP, "userextras", "*", below="*")):
                return
        for key, values in extra.items():
            for value in values:
                await self.part(_AUTHENTICATION_GROUP, "userextras", value, below=key)

    async def _all(self, info: RequestInfo) -> bool:
        return (await self._authorizer.decide(self._requester, info)).allowed

    def _refuse(self, resource: str, name: str, why: str, *, group: str | None = None) -> None:
        info = self._info(self._mode.group if group is None else group, resource, name)
        raise denied(self._requester, info, why)


def _bad_extra(key: str, values: tuple[str, ...]) -> str:
    if not key:
        return "impersonating the empty string key in extra is not allowed"
    domain, slash, path = key.partition("/")
    if not slash or not path or list(names.dns_subdomain(domain)):
        return (
            "impersonating an invalid key in extra is not allowed: "
            f'extra.key: Invalid value: "{key}": must be a domain-prefixed path (such as "acme.io/foo")'
        )
    if not values:
        return "impersonating empty values in extra is not allowed"
    if "" in values:
        return "impersonating the empty string value in extra is not allowed"
    return ""


def _without_details(requester: User) -> User:
    """A service account as the check of its own node sees it: that it has a node is all that matters."""
    return replace(requester, extra={_NODE_KEYS: tuple(sorted(requester.extra))})


def _with(groups: tuple[str, ...], group: str) -> tuple[str, ...]:
    return groups if group in groups else (*groups, group)


def _wanted(exchange: Exchange) -> User:
    """What the headers ask for, as it stands there."""
    extra: dict[str, tuple[str, ...]] = {}
    for header in dict.fromkeys(name.lower() for name in exchange.headers):
        if header.startswith(_EXTRA):
            key = unquote(header[len(_EXTRA) :])
            extra[key] = (*extra.get(key, ()), *exchange.all_values(header))
    return User(
        exchange.headers.get("Impersonate-User", ""), exchange.headers.get("Impersonate-Uid", ""),
        tuple(exchange.all_values("Impersonate-Group")), extra,
    )  # fmt: skip


def _go_text(user: User) -> str:
    """As upstream prints it."""

    def quoted(values: tuple[str, ...]) -> str:
        return "[]string{" + ", ".join(f'"{value}"' for value in values) + "}" if values else "[]string(nil)"

    pairs = ", ".join(f'"{key}":{quoted(values)}' for key, values in sorted(user.extra.items()))
    extra = "map[string][]string{" + pairs + "}" if pairs else "map[string][]string(nil)"
    return f'&user.DefaultInfo{{Name:"{user.name}", UID:"{user.uid}", Groups:{quoted(user.groups)}, Extra:{extra}}}'
