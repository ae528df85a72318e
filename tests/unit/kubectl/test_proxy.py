"""What comes through `kubectl proxy`."""

from __future__ import annotations

import re

import pytest

from tiphys.kubectl.proxy import COMMAND, Filter

DEFAULTS = {flag.name: flag.default for flag in COMMAND.flags}


def patterns(name: str) -> list[re.Pattern[str]]:
    return [re.compile(part) for part in str(DEFAULTS[name]).split(",")]


STANDARD = Filter(*(patterns(name) for name in ("accept-paths", "reject-paths", "accept-hosts", "reject-methods")))


@pytest.mark.parametrize(
    ("method", "path", "host", "comes"),
    [
        ("GET", "/api/v1/pods", "localhost:8001", True),
        ("GET", "/api/v1/pods", "127.0.0.1", True),
        ("DELETE", "/api/v1/pods", "[::1]:8001", True),
        ("GET", "/api/v1/pods", "evil.example", False),
        ("GET", "/api/v1/pods", "localhost.evil.example:8001", False),
        ("POST", "/api/v1/namespaces/a/pods/b/exec", "localhost", False),
        ("POST", "/api/v1/namespaces/a/pods/b/attach", "localhost", False),
        ("POST", "/api/v1/namespaces/a/pods/b/portforward", "localhost", True),
    ],
)
def test_the_filter(method: str, path: str, host: str, comes: bool) -> None:
    assert STANDARD.accepts(method, path, host) == comes
