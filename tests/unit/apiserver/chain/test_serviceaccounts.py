"""Tokens live as long as what they are bound to, and no longer than they say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from front_fakes import FakeCaches

from tiphys.api.kind import new
from tiphys.api.kinds import POD, SERVICEACCOUNT
from tiphys.apiserver.chain.serviceaccounts import Bound, ServiceAccountTokens, TokenSigner, issuer_of
from tiphys.apiserver.chain.tokens import InvalidToken
from tiphys.base import pki
from tiphys.base.clock import rfc3339

ISSUER = "https://issuer"
KEY = pki.new_signing_key()


class Clock:
    def __init__(self) -> None:
        self.moment = datetime(2026, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        return self.moment

    def monotonic(self) -> float:
        return self.moment.timestamp()

    async def sleep(self, delay_s: float) -> None:
        self.moment += timedelta(seconds=delay_s)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.caches = FakeCaches()
        self.account = new(SERVICEACCOUNT, "robot", "ns")
        self.account.metadata.uid = "u1"
        self.caches.put(SERVICEACCOUNT, self.account)
        self.tokens = ServiceAccountTokens(TokenSigner(KEY), ISSUER, self.caches, self.clock)

    def issue(self, *bound: Bound, audience: str = "api") -> str:
        return self.tokens.issue(self.account, [audience], 600, bound)

    def user(self, token: str) -> Any:
        return self.tokens.validate(token, ["api"])[0]


@pytest.fixture
def world() -> World:
    return World()


def pod(uid: str) -> Any:
    made = new(POD, "p", "ns")
    made.metadata.uid = uid
    return made


def test_who_it_names(world: World) -> None:
    world.caches.put(POD, pod("p1"))
    user = world.user(world.issue(Bound("pod", "p", "p1"), Bound("node", "n", "n1")))
    assert user.name == "system:serviceaccount:ns:robot"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert user.extra["authentication.kubernetes.io/pod-uid"] == ("p1",)
    assert user.extra["authentication.kubernetes.io/node-name"] == ("n",)
    assert user.extra["authentication.kubernetes.io/credential-id"][0].startswith("JTI=")


def test_it_expires(world: World) -> None:
    token = world.issue()
    world.clock.moment += timedelta(seconds=659)
    world.user(token)
    world.clock.moment += timedelta(seconds=2)
    with pytest.raises(InvalidToken, match="service account token has expired"):
        world.user(token)


def test_it_dies_with_its_pod(world: World) -> None:
    world.caches.put(POD, pod("p1"))
    token = world.issue(Bound("pod", "p", "p1"))
    world.user(token)
    leaving = pod("p1")
    leaving.metadata.deletion_timestamp = rfc3339(world.clock.moment)
    world.caches.put(POD, leaving)
    world.user(token)
    world.clock.moment += timedelta(seconds=61)
    with pytest.raises(InvalidToken, match="service account token has been invalidated"):
        world.user(token)
    world.caches.put(POD, pod("p2"))
    with pytest.raises(InvalidToken, match="does not match service account pod ref claim"):
        world.user(token)


def test_it_dies_with_its_account(world: World) -> None:
    token = world.issue()
    world.caches.cache_of(SERVICEACCOUNT).remove("ns", "robot")
    with pytest.raises(InvalidToken, match='serviceaccounts "robot" not found'):
        world.user(token)
    again = new(SERVICEACCOUNT, "robot", "ns")
    again.metadata.uid = "u2"
    world.caches.put(SERVICEACCOUNT, again)
    with pytest.raises(InvalidToken, match="does not match claim"):
        world.user(token)


def test_it_is_for_its_audience(world: World) -> None:
    with pytest.raises(InvalidToken, match="is invalid for the target audiences"):
        world.user(world.issue(audience="vault"))


def test_a_changed_token_is_refused(world: World) -> None:
    head, body, signature = world.issue().split(".")
    foreign = ServiceAccountTokens(TokenSigner(pki.new_signing_key()), ISSUER, world.caches, world.clock)
    for token in (f"{head}.{body}.{signature[:-8]}AAAAAAAA", foreign.issue(world.account, ["api"], 600)):
        assert issuer_of(token) == ISSUER
        with pytest.raises(InvalidToken, match="invalid bearer token"):
            world.user(token)
    assert issuer_of("a.b.c") is None
    assert issuer_of("plain") is None
