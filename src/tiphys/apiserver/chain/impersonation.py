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


def asks(exchange: Exchange) -> bool:
    """Whether there is anything for `impersonate` to do."""
    return any(name.lower().startswith("impersonate-") for name in exchange.headers)


async def impersonate(exchange: Exchange, authorizer: Authorizer) -> User:
    """Whom the request is to be taken for. Raises BadRequest, Forbidden."""
    requester = exchange.user
    name = exchange.headers.get("Impersonate-User", "")
    groups = exchange.all_values("Impersonate-Group")
    uid = exchange.headers.get("Impersonate-Uid", "")
    extra = _extra(exchange)
    if not name:
        if groups or uid or extra:
            raise BadRequest(f"requested {_listed(groups, extra, uid)} without impersonating a user")
        return requester

    account = split_service_account(name)
    if account is not None:
        await _require(authorizer, requester, "", "serviceaccounts", account[1], namespace=account[0])
    else:
        await _require(authorizer, requester, "", "users", name)
    for group in groups:
        await _require(authorizer, requester, "", "groups", group)
    for key, values in extra.items():
        for value in values:
            await _require(authorizer, requester, _AUTHENTICATION_GROUP, "userextras", value, subresource=key)
    if uid:
        await _require(authorizer, requester, _AUTHENTICATION_GROUP, "uids", uid)

    if account is not None and not groups:
        groups = list(groups_of_service_account(account[0]))
    if name != "system:anonymous":
        if _AUTHENTICATED not in groups and _UNAUTHENTICATED not in groups:
            groups.append(_AUTHENTICATED)
    elif _UNAUTHENTICATED not in groups:
        groups.append(_UNAUTHENTICATED)
    return User(name, uid, tuple(groups), {key: tuple(values) for key, values in extra.items()})


def _listed(groups: list[str], extra: dict[str, list[str]], uid: str) -> str:
    """What was asked for, as upstream prints its references."""
    found = [f"{{Group  {group}    }}" for group in groups]
    found += [
        f"{{UserExtra  {value}  {_AUTHENTICATION_GROUP}/v1  {key}}}"
        for key, values in extra.items()
        for value in values
    ]
    if uid:
        found.append(f"{{UID  {uid}  {_AUTHENTICATION_GROUP}/v1  }}")
    return f"[{' '.join(found)}]"


def _extra(exchange: Exchange) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for header in dict.fromkeys(name.lower() for name in exchange.headers):
        if header.startswith(_EXTRA):
            found.setdefault(unquote(header[len(_EXTRA) :]), []).extend(exchange.all_values(header))
    return found


async def _require(
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
    await authorizer.check(requester, info)
