"""Users that a front proxy names: X-Remote-User and its companions, believed from holders of its certificate alone.

Source: staging/src/k8s.io/apiserver/pkg/authentication/request/headerrequest.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

import msgspec

from tiphys.apiserver.chain.certificates import FrontProxy
from tiphys.apiserver.chain.exchange import Exchange
from tiphys.apiserver.request import User


class RequestHeaders(msgspec.Struct, frozen=True):
    """Which headers say what, and which common names may use them (none: any that the CA signed)."""

    user_headers: Sequence[str] = ("X-Remote-User",)
    uid_headers: Sequence[str] = ("X-Remote-Uid",)
    group_headers: Sequence[str] = ("X-Remote-Group",)
    extra_prefixes: Sequence[str] = ("X-Remote-Extra-",)
    allowed_names: Sequence[str] = ()

    def user(self, proxy: FrontProxy, exchange: Exchange) -> User | None:
        """Whom the headers name; None where they name nobody or the proxy is not one of the allowed."""
        if self.allowed_names and proxy.name not in self.allowed_names:
            return None
        name = _first(exchange, self.user_headers)
        if not name:
            return None
        groups = [value for header in self.group_headers for value in exchange.all_values(header) if value]
        extra: dict[str, tuple[str, ...]] = {}
        for prefix in self.extra_prefixes:
            lower = prefix.lower()
            for header in dict.fromkeys(found.lower() for found in exchange.headers):
                if header.startswith(lower):
                    key = unquote(header[len(lower) :])
                    extra[key] = (*extra.get(key, ()), *exchange.all_values(header))
        return User(name, _first(exchange, self.uid_headers), tuple(groups), extra)


def _first(exchange: Exchange, names: Sequence[str]) -> str:
    for name in names:
        value = exchange.headers.get(name, "")
        if value:
            return value
    return ""
