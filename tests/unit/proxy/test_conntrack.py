"""Which tracked flows are stale."""

from __future__ import annotations

import pytest

from tiphys.proxy.conntrack import Flow, stale

VIP = ("10.96.0.10", 53)
HERE = ("10.244.0.3", 5353)
FRONTS = {VIP: frozenset({HERE}), ("", 30053): frozenset({HERE}), ("10.96.0.11", 53): frozenset()}


@pytest.mark.parametrize(
    ("asked", "answering", "is_stale"),
    [
        (VIP, HERE, False),
        (VIP, ("10.244.0.4", 5353), True),
        (VIP, VIP, True),
        (("192.0.2.1", 30053), HERE, False),
        (("192.0.2.1", 30053), ("10.244.0.4", 5353), True),
        (("10.96.0.11", 53), HERE, True),
        (("8.8.8.8", 53), ("8.8.8.8", 53), False),
    ],
)
def test_a_flow_is_stale_when_a_front_is_answered_by_no_backend(
    asked: tuple[str, int], answering: tuple[str, int], is_stale: bool
) -> None:
    assert stale(Flow(asked, answering, b""), FRONTS) is is_stale
