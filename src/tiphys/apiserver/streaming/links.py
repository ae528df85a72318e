"""Links in what a proxy passes on: a page's absolute paths must lead through the proxy again.

Source: staging/src/k8s.io/apimachinery/pkg/util/proxy/transport.go.
"""

from __future__ import annotations

import html
from collections.abc import Callable
from html.parser import HTMLParser
from urllib.parse import urlsplit, urlunsplit

PAGE_BYTES_MAX = 4 << 20
"""A longer page passes as it is."""

_URL_ATTRIBUTES: dict[str, frozenset[str]] = {
    tag: frozenset(names.split())
    for tag, names in {
        "a": "href", "applet": "codebase", "area": "href", "audio": "src", "base": "href", "blockquote": "cite",
        "body": "background", "button": "formaction", "command": "icon", "del": "cite", "embed": "src",
        "form": "action", "frame": "longdesc src", "head": "profile", "html": "manifest", "iframe": "longdesc src",
        "img": "longdesc src usemap", "input": "src usemap formaction", "ins": "cite", "link": "href",
        "object": "classid codebase data usemap", "q": "cite", "script": "src", "source": "src",
        "video": "poster src",
    }.items()
}  # fmt: skip


def through(prefix: str, own_hosts: frozenset[str]) -> Callable[[str], str]:
    """How a URL of the page is written: below `prefix` where it is an absolute path of one of `own_hosts`."""

    def rewrite(url: str) -> str:
        try:
            parts = urlsplit(url)
        except ValueError:
            return url
        if (parts.netloc and parts.netloc not in own_hosts) or not parts.path.startswith("/"):
            return url
        path = parts.path if parts.path.startswith(prefix) else prefix.rstrip("/") + parts.path
        return urlunsplit(("", "", path, parts.query, parts.fragment))

    return rewrite


def rewritten(page: str, rewrite: Callable[[str], str]) -> str:
    """The page with `rewrite` applied to every URL that an attribute holds; all else stays as it is."""
    links = _Links(page, rewrite)
    links.feed(page)
    links.close()
    pieces, at = [], 0
    for start, length, tag in links.replaced:
        pieces += [page[at:start], tag]
        at = start + length
    return "".join([*pieces, page[at:]])


class _Links(HTMLParser):
    def __init__(self, page: str, rewrite: Callable[[str], str]) -> None:
        super().__init__(convert_charrefs=False)
        self._rewrite = rewrite
        self._line_starts = [0]
        at = page.find("\n")
        while at >= 0:
            self._line_starts.append(at + 1)
            at = page.find("\n", at + 1)
        self.replaced: list[tuple[int, int, str]] = []
        """(offset, length, new text) of the tags that changed, in order."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        wanted, raw = _URL_ATTRIBUTES.get(tag), self.get_starttag_text()
        if wanted is None or raw is None:
            return
        made = [(name, self._rewrite(value) if value and name in wanted else value) for name, value in attrs]
        if made == attrs:
            return
        text = "".join(f" {name}" if value is None else f' {name}="{html.escape(value)}"' for name, value in made)
        line, column = self.getpos()
        closing = "/>" if raw.endswith("/>") else ">"
        self.replaced.append((self._line_starts[line - 1] + column, len(raw), f"<{tag}{text}{closing}"))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
