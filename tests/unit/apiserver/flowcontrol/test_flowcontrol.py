"""Requests find their level, take turns in it, and are refused when there is no room."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from tiphys.api.kind import new
from tiphys.api.kinds import FLOWSCHEMA, PRIORITYLEVELCONFIGURATION
from tiphys.api.kinds.flowcontrol import flowschema as f
from tiphys.api.kinds.flowcontrol import mandatory
from tiphys.api.kinds.flowcontrol import prioritylevelconfiguration as p
from tiphys.api.meta.schema import copy_of
from tiphys.apiserver.flowcontrol import estimates
from tiphys.apiserver.flowcontrol.bootstrap import suggested_levels, suggested_schemas
from tiphys.apiserver.flowcontrol.borrowing import adjust, fair_limits
from tiphys.apiserver.flowcontrol.control import FlowControl, TooMany
from tiphys.apiserver.flowcontrol.controller import limits_of
from tiphys.apiserver.flowcontrol.level import Level, Limits, Rejected
from tiphys.apiserver.flowcontrol.matching import Classifier, Schema
from tiphys.apiserver.flowcontrol.sharding import flow_hash, hand
from tiphys.apiserver.request import RequestInfo, User
from tiphys.base.metrics import Metrics
from tiphys.testing.clock import FakeClock

ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
BOB = User("bob", groups=("system:authenticated",))
NODE = User("system:node:a", groups=("system:nodes", "system:authenticated"))
ROBOT = User("system:serviceaccount:apps:robot", groups=("system:serviceaccounts", "system:authenticated"))


def ask(verb: str, resource: str = "pods", namespace: str = "default", **more: Any) -> RequestInfo:
    return RequestInfo(
        verb=verb, path="", is_resource=True, version="v1", resource=resource, namespace=namespace, **more
    )


def everything() -> tuple[Classifier, dict[str, Level]]:
    specs = mandatory.priority_levels() | suggested_levels()
    levels = {name: Level(name, f"uid-{name}", limits_of(spec, 600, 245)) for name, spec in specs.items()}
    schemas = mandatory.flow_schemas() | suggested_schemas()
    made = [Schema(n, f"uid-{n}", s, levels[s.priority_level_configuration.name]) for n, s in schemas.items()]
    return Classifier(made), levels


@pytest.mark.parametrize(
    ("user", "info", "schema", "level"),
    [
        (ADMIN, ask("create"), "exempt", "exempt"),
        (BOB, RequestInfo(verb="get", path="/livez"), "probes", "exempt"),
        (BOB, ask("list"), "global-default", "global-default"),
        (User("x"), ask("list"), "catch-all", "catch-all"),
        (NODE, ask("update", "nodes", "", subresource="status"), "system-node-high", "node-high"),
        (NODE, ask("get", "secrets"), "system-nodes", "system"),
        (ROBOT, ask("get"), "service-accounts", "workload-low"),
        (User("system:serviceaccount:kube-system:x"), ask("get"), "kube-system-service-accounts", "workload-high"),
        (User("system:kube-scheduler"), ask("get"), "kube-scheduler", "workload-high"),
        (User("system:kube-scheduler"), RequestInfo(verb="update", path="", is_resource=True, namespace="kube-system",
         group="coordination.k8s.io", resource="leases"), "system-leader-election", "leader-election"),
    ],
)  # fmt: skip
def test_matching(user: User, info: RequestInfo, schema: str, level: str) -> None:
    classifier, _ = everything()
    if user.name == "x":
        classifier.schemas[-1].rules[0].subjects.append(f.Subject(kind="User", user=f.UserSubject(name="x")))
    found = classifier.flow(user, info)
    assert (found.schema.name, found.level.name) == (schema, level)
    assert classifier.flow(user, info) is found


def test_hands_are_different_cards() -> None:
    for user in range(200):
        dealt = hand(flow_hash("schema", str(user)), 64, 6)
        assert len(set(dealt)) == 6
        assert all(0 <= card < 64 for card in dealt)
    assert hand(5, 5, 5) == hand(5, 5, 5)
    assert sorted(hand(123456789, 8, 8)) == list(range(8))


def level(seats: int = 2, queues: int = 4, length: int = 3) -> Level:
    return Level("l", "u", Limits(seats, seats, seats, queues, 1, length))


async def test_who_finds_no_seat_waits_its_turn() -> None:
    one = level(seats=1)
    assert one.try_enter(1)
    assert not one.try_enter(1)
    waiting = [asyncio.create_task(one.wait("a", (0,), 1, 10)) for _ in range(2)]
    await asyncio.sleep(0)
    assert (one.waiting, one.executing) == (2, 1)
    one.leave(1)
    first = await waiting[0]
    assert (one.waiting, one.executing) == (1, 1)
    one.leave(1, first)
    one.leave(1, await waiting[1])
    assert (one.seats, one.executing, one.waiting, one.queues[0].seats) == (0, 0, 0, 0)


async def test_a_flow_that_floods_does_not_starve_another() -> None:
    one = level(seats=1, length=100)
    assert one.try_enter(1)
    order: list[str] = []

    async def run(flow: str, card: int) -> None:
        waiter = await one.wait(flow, (card,), 1, 10)
        order.append(flow)
        await asyncio.sleep(0)
        one.leave(1, waiter)

    tasks = [asyncio.create_task(run("greedy", 0)) for _ in range(20)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(run("modest", 1)) for _ in range(3)]
    await asyncio.sleep(0)
    one.leave(1)
    await asyncio.gather(*tasks)
    assert order[:8].count("modest") == 3


async def test_queues_are_bounded_and_so_are_waits() -> None:
    one = level(seats=1, length=1)
    assert one.try_enter(1)
    waiting = asyncio.create_task(one.wait("a", (0,), 1, 0.01))
    await asyncio.sleep(0)
    with pytest.raises(Rejected, match="queue-full"):
        await one.wait("a", (0,), 1, 10)
    with pytest.raises(Rejected, match="time-out"):
        await waiting
    with pytest.raises(Rejected, match="concurrency-limit"):
        await level(queues=0).wait("a", (), 1, 10)
    assert one.waiting == 0


async def test_whoever_gives_up_leaves_no_trace() -> None:
    one = level(seats=1, length=50)
    chance = random.Random(7)
    for _ in range(300):
        width = chance.choice((1, 1, 2))

        async def run(width: int = width) -> None:
            waiter = None
            if not one.try_enter(width):
                waiter = await one.wait("x", (chance.randrange(4),), width, 10)
            try:
                await asyncio.sleep(0)
            finally:
                one.leave(width, waiter)

        task = asyncio.create_task(run())
        if chance.random() < 0.4:
            asyncio.get_running_loop().call_soon(task.cancel)
        if chance.random() < 0.5:
            await asyncio.sleep(0)
    for _ in range(2000):
        await asyncio.sleep(0)
    assert (one.seats, one.executing, one.waiting, one.waiting_seats) == (0, 0, 0, 0)
    assert [queue.seats for queue in one.queues] == [0, 0, 0, 0]


def test_a_wide_request_gets_an_idle_level_to_itself() -> None:
    one = level(seats=2)
    assert one.try_enter(10)
    assert not one.try_enter(1)


def test_limits_come_from_shares() -> None:
    spec = suggested_levels()["workload-low"]
    assert limits_of(spec, 600, 245) == Limits(245, 25, 600, 128, 6, 50)
    assert limits_of(mandatory.priority_levels()["exempt"], 600, 245) is None


def test_unused_seats_are_lent() -> None:
    assert sum(fair_limits([(10, 100.0, 600), (10, 10.0, 600)], 600)) == 600
    assert fair_limits([(50, 1.0, 60), (0, 100.0, 600)], 200) == [50, 150]
    busy, idle = Level("busy", "", Limits(100, 50, 200)), Level("idle", "", Limits(100, 20, 200))
    busy.demand_high = 180
    adjust([busy, idle], 200)
    assert busy.limit > 100 > idle.limit >= 20
    assert busy.limit + idle.limit == 200


@pytest.mark.parametrize(
    ("info", "stored", "seats"),
    [
        (ask("list"), 50, 1),
        (ask("list"), 950, 10),
        (ask("list"), 1_000_000, 100),
        (ask("list", query={"limit": ("500",)}), 1_000_000, 5),
        (ask("list", name="a"), 1_000_000, 1),
    ],
)
def test_lists_cost_what_they_send(info: RequestInfo, stored: int, seats: int) -> None:
    assert estimates.of_list(info, stored).seats == seats


def test_watches_cost_their_beginning_and_writes_their_watchers() -> None:
    assert estimates.of_watch(ask("watch", query={"resourceVersion": ("9",)}), 5000).seats == 1
    assert estimates.of_watch(ask("watch"), 5000).seats == 50
    assert estimates.of_write(5) == (1, 0, 0.0)
    assert estimates.of_write(50) == (1, 5, 0.005)
    assert estimates.of_write(500) == (1, 10, pytest.approx(0.025))


def control(classifier: Classifier, levels: dict[str, Level], **counts: int) -> FlowControl:
    return FlowControl(
        classifier, levels, Metrics(), FakeClock(), total_seats=600, wait_limit_s=0.01,
        stored=lambda _g, _r: counts.get("stored", 0), watchers=lambda _g, _r: counts.get("watchers", 0),
    )  # fmt: skip


async def test_the_refusal_is_upstreams() -> None:
    classifier, levels = everything()
    gate = control(classifier, levels)
    levels["global-default"].limit = 1
    ticket = await gate.enter(BOB, ask("create"))
    with pytest.raises(TooMany) as refused:
        await gate.enter(BOB, ask("create"))
    answer = refused.value.answer
    assert (answer.status, answer.body) == (429, b"Too many requests, please try again later.\n")
    assert ("Retry-After", "1") in answer.headers
    assert ("X-Kubernetes-PF-FlowSchema-UID", "uid-global-default") in answer.headers
    assert gate.writes == 1
    gate.leave(ticket)
    gate.leave(await gate.enter(BOB, ask("create")))
    for _ in range(1000):
        await gate.enter(ADMIN, ask("create"))


async def test_a_write_pays_for_its_watchers_afterwards() -> None:
    classifier, levels = everything()
    gate = control(classifier, levels, watchers=50)
    busy = levels["global-default"]
    gate.leave(await gate.enter(BOB, ask("create")))
    assert busy.seats == 5
    await asyncio.sleep(0.05)
    assert busy.seats == 0


def complaints(kind: Any, obj: Any) -> list[str]:
    kind.default(obj)
    return [str(error) for error in kind.validate(obj, None)]


def test_the_objects_that_we_make_are_valid() -> None:
    for name, spec in (mandatory.flow_schemas() | suggested_schemas()).items():
        assert complaints(FLOWSCHEMA, new(FLOWSCHEMA, name, spec=spec)) == []
    for name, level_spec in (mandatory.priority_levels() | suggested_levels()).items():
        made = new(PRIORITYLEVELCONFIGURATION, name, spec=copy_of(level_spec))
        assert complaints(PRIORITYLEVELCONFIGURATION, made) == []
        assert made.spec == level_spec


def test_what_is_refused() -> None:
    schema = new(FLOWSCHEMA, "x", spec=f.FlowSchemaSpec(matching_precedence=1))
    assert complaints(FLOWSCHEMA, schema) == [
        "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
        "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
    ]
    changed = copy_of(mandatory.flow_schemas()["catch-all"])
    changed.matching_precedence = 9
    assert "spec of 'catch-all' must equal the fixed value" in complaints(
        FLOWSCHEMA, new(FLOWSCHEMA, "catch-all", spec=changed)
    )[-1]  # fmt: skip
    queuing = p.QueuingConfiguration(queues=1000, hand_size=30)
    limited = p.LimitedPriorityLevelConfiguration(limit_response=p.LimitResponse(type="Queue", queuing=queuing))
    spec = p.PriorityLevelConfigurationSpec(type="Limited", limited=limited)
    assert "required entropy bits of deckSize 1000 and handSize 30" in complaints(
        PRIORITYLEVELCONFIGURATION, new(PRIORITYLEVELCONFIGURATION, "x", spec=spec)
    )[0]  # fmt: skip
