"""Acting as another: the Impersonate-* headers, each allowed by the verb `impersonate`.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/filters/impersonation.
"""

from __future__ import annotations

from urllib.parse import unquote

from tiphys.api.errors import BadRequest
from tiphys.apiserver.authz.authorizer import Authorizer
from tiphys.apiserver.authz.rbac import groups_of_service_account, split_service_account
from tiphys.apiserver.chain.exchange import Exchange
from tiphys.apiserver.request import RequestInfo, User

_EXTRA = "impersonate-extra-"
_AUTHENTICATED, _UNAUTHENTICATED = "system:authenticated", "system:unauthenticated"
_AUTHENTICATION_GROUP = "authentication.k8s.io"


def _asks(exchange: Exchange) -> bool:
    return any(name.lower().startswith("impersonate-") for name in exchange.headers)


def impersonate(exchange: Exchange, authorizer: Authorizer) -> User:
    """Whom the request is to be taken for. Raises BadRequest, Forbidden."""
    requester = exchange.user
    if not _asks(exchange):
        return requester
    name = exchange.headers.get("Impersonate-User", "")
    groups = exchange.all_values("Impersonate-Group")
    uid = exchange.headers.get("Impersonate-Uid", "")
    extra = _extra(exchange)
    if not name:
        if groups or uid or extra:
            raise BadRequest("requested impersonation without impersonating a user")
        return requester

    account = split_service_account(name)
    if account is not None:
        _require(authorizer, requester, "", "serviceaccounts", account[1], namespace=account[0])
    else:
        _require(authorizer, requester, "", "users", name)
    for group in groups:
        _require(authorizer, requester, "", "groups", group)
    for key, values in extra.items():
        for value in values:
            _require(authorizer, requester, _AUTHENTICATION_GROUP, "userextras", value, subresource=key)
    if uid:
        _require(authorizer, requester, _AUTHENTICATION_GROUP, "uids", uid)

    if account is not None and not groups:
        groups = list(groups_of_service_account(account[0]))
    if name != "system:anonymous":
        if _AUTHENTICATED not in groups and _UNAUTHENTICATED not in groups:
            groups.append(_AUTHENTICATED)
    elif _UNAUTHENTICATED not in groups:
        groups.append(_UNAUTHENTICATED)
    return User(name, uid, tuple(groups), {key: tuple(values) for key, values in extra.items()})


def _extra(exchange: Exchange) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for header in dict.fromkeys(name.lower() for name in exchange.headers):
        if header.startswith(_EXTRA):
            found.setdefault(unquote(header[len(_EXTRA) :]), []).extend(exchange.all_values(header))
    return found


def _require(
    authorizer: Authorizer,
    requester: User,
    group: str,
    resource: str,
    name: str,
    *,
    namespace: str = "",
    subresource: str = "",
) -> None:
    info = RequestInfo(
        verb="impersonate", path="", is_resource=True, group=group, version="v1", resource=resource,
        subresource=subresource, namespace=namespace, name=name,
    )  # fmt: skip
    authorizer.authorize(requester, info)
