"""Links of proxied pages."""

from __future__ import annotations

import pytest

from tiphys.apiserver.streaming.links import rewritten, through

PREFIX = "/api/v1/namespaces/n/pods/p/proxy"
REWRITE = through(PREFIX, frozenset(("10.0.0.1:80", "api:6443")))


@pytest.mark.parametrize(
    ("url", "becomes"),
    [
        ("/a?b=1#c", f"{PREFIX}/a?b=1#c"),
        ("/", f"{PREFIX}/"),
        ("relative/a", "relative/a"),
        ("#top", "#top"),
        (f"{PREFIX}/a", f"{PREFIX}/a"),
        ("http://10.0.0.1:80/a", f"{PREFIX}/a"),
        ("https://api:6443/a", f"{PREFIX}/a"),
        ("https://elsewhere/a", "https://elsewhere/a"),
        ("//elsewhere/a", "//elsewhere/a"),
        ("mailto:a@b", "mailto:a@b"),
        ("http://[broken", "http://[broken"),
    ],
)
def test_urls(url: str, becomes: str) -> None:
    assert REWRITE(url) == becomes


def test_a_page_keeps_all_but_its_links() -> None:
    page = (
        '<!DOCTYPE html>\n<p class=x>a &amp; b\r\n<A HREF="/x?a=1&amp;b=2" disabled>t</A>'
        '<img src="/i.png"/>\n<br><b href="/no">'
    )
    assert rewritten(page, REWRITE) == (
        f'<!DOCTYPE html>\n<p class=x>a &amp; b\r\n<a href="{PREFIX}/x?a=1&amp;b=2" disabled>t</A>'
        f'<img src="{PREFIX}/i.png"/>\n<br><b href="/no">'
    )


def test_what_is_no_page_stays() -> None:
    assert rewritten("<<a href", REWRITE) == "<<a href"
