"""URLs. Source: .../cel/library/urls.go; Go's net/url for what is one."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from tiphys.api.cel.cost.calls import CONSTANT, NOMINAL, REWRITTEN
from tiphys.api.cel.declarations import opaque_type, overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.values import Opaque

URL = opaque_type("kubernetes.URL")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})(.{0,2})", re.DOTALL)
_PATH_SAFE = "/:@&=+$,;~!*'()._-[]"
_PORT = re.compile(r"(?::[0-9]*)?")
_HOST = re.compile(r"[^\s\"<>\\^`{|}/?#\x00-\x20\x7f]*")


class URLValue(Opaque):
    __slots__ = ("host", "path", "query", "scheme", "text")
    cel_type = URL

    def __init__(self, text: str, scheme: str, host: str, path: str, query: str) -> None:
        self.text = text
        self.scheme = scheme
        self.host = host
        self.path = path
        """As written."""
        self.query = query

    def cel_equals(self, other: Any) -> bool:
        return isinstance(other, URLValue) and self.text == other.text

    def __str__(self) -> str:
        return self.text

    @property
    def hostname(self) -> str:
        host = self.host
        if host.startswith("["):
            return host[1 : host.find("]")]
        return host.partition(":")[0]

    @property
    def port(self) -> str:
        after = self.host.rpartition("]")[2] if self.host.startswith("[") else self.host
        return after.partition(":")[2]

    @property
    def escaped_path(self) -> str:
        if quote(unquote_to_bytes(self.path), safe=_PATH_SAFE) == self.path or "%" in self.path:
            return self.path
        return quote(self.path, safe=_PATH_SAFE)


def parse(text: str) -> URLValue:
    """An absolute URI, or an absolute path. Raises ValueError with what Go says."""
    lead = f'parse "{text}": '
    if any(ord(character) < 0x20 or ord(character) == 0x7F for character in text):
        raise ValueError(f"{lead}net/url: invalid control character in URL")
    if not text:
        raise ValueError(f"{lead}empty url")
    scheme, rest = _scheme(text, lead)
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if not scheme:
            raise ValueError(f"{lead}invalid URI for request")
        return URLValue(text, scheme, "", "", query)
    host = ""
    if (scheme and rest.startswith("//")) or (not scheme and rest.startswith("//") and not rest.startswith("///")):
        authority, slash, path = rest[2:].partition("/")
        host = _host(authority.rpartition("@")[2], lead)
        rest = slash + path
    bad = _BAD_ESCAPE.search(rest)
    if bad:
        raise ValueError(f'{lead}invalid URL escape "%{bad.group(1)}"')
    return URLValue(text, scheme, host, rest, query)


def _scheme(text: str, lead: str) -> tuple[str, str]:
    match = _SCHEME.match(text)
    if match:
        return match.group(1).lower(), text[match.end() :]
    head = text.partition("/")[0].partition("?")[0]
    if head.startswith(":"):
        raise ValueError(f"{lead}missing protocol scheme")
    if ":" in head and not text.startswith("/") and not head[:1].isalpha():
        raise ValueError(f"{lead}first path segment in URL cannot contain colon")
    return "", text


def _host(host: str, lead: str) -> str:
    name, port = host, ""
    if host.startswith("["):
        end = host.rfind("]")
        if end < 0:
            raise ValueError(f"{lead}missing ']' in host")
        name, port = host[: end + 1], host[end + 1 :]
    elif ":" in host:
        index = host.index(":")
        name, port = host[:index], host[index:]
    if not _PORT.fullmatch(port):
        raise ValueError(f'{lead}invalid port "{port}" after host')
    if not _HOST.fullmatch(name):
        strange = next(character for character in name if not _HOST.fullmatch(character))
        raise ValueError(f'{lead}invalid character "{strange}" in host name')
    return host


def _url(text: str) -> URLValue:
    try:
        return parse(text)
    except ValueError as problem:
        raise EvaluationError(f"URL parse error during conversion from string: {problem}") from None


def is_url(text: str) -> bool:
    try:
        parse(text)
    except ValueError:
        return False
    return True


def _query(url: URLValue) -> dict[str, list[str]]:
    values: dict[str, list[str]] = {}
    for pair in url.query.partition("#")[0].split("&"):
        if not pair or ";" in pair or _BAD_ESCAPE.search(pair):
            continue
        key, _, value = pair.partition("=")
        values.setdefault(_unescaped(key), []).append(_unescaped(value))
    return values


def _unescaped(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode(errors="replace")


_U = URL.name
OVERLOADS = (
    overload("string_to_url", f"url(string) -> {_U}", _url, REWRITTEN),
    overload("url_get_scheme", f"{_U}.getScheme() -> string", lambda url: url.scheme, NOMINAL),
    overload("url_get_host", f"{_U}.getHost() -> string", lambda url: url.host, NOMINAL),
    overload("url_get_hostname", f"{_U}.getHostname() -> string", lambda url: url.hostname, NOMINAL),
    overload("url_get_port", f"{_U}.getPort() -> string", lambda url: url.port, NOMINAL),
    overload("url_get_escaped_path", f"{_U}.getEscapedPath() -> string", lambda url: url.escaped_path, NOMINAL),
    overload("url_get_query", f"{_U}.getQuery() -> map(string, list(string))", _query, NOMINAL),
    overload("is_url_string", "isURL(string) -> bool", is_url, CONSTANT),
)
