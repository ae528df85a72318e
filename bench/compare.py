"""Two API servers side by side on one machine: the same work by turns, the medians, and what each spent on it.

Figures of a shared machine swing from minute to minute, so neither server is measured for long before the other has its
turn. The processor time of the servers' own processes is counted beside the rate: noise disturbs it less.

    python bench/compare.py A.kubeconfig B.kubeconfig [--names tiphys,upstream] [--pids 11,12 --pids 21,22,23]
        [--only create-pod,get] [--rounds 5] [--seconds 3] [--nodes 100,1000] [--listed 5187]

Each kubeconfig is an administrator's. `--pids` (once per server, in order) names the processes whose time is counted.
What it creates is in namespaces called `bench-...` and stays: compare clusters that are made for it.
"""

from __future__ import annotations

import argparse
import json
import sched
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import api
import load
import processes
from calibrate import calibrate
from command import run_loop
from results import Result, percentile, write_json
from target import Target, connections, for_each, target_of

WORKERS = 16


@dataclass
class Side:
    """One of the two servers, and where in it the work goes."""

    name: str
    target: Target
    pids: Sequence[int]
    base: str
    rounds: int = 0


@dataclass
class Row:
    """One kind of work and what the rounds gave, by side."""

    name: str
    work: Callable[[Side], Awaitable[tuple[float, float]]]
    """Does it once: rate, units of work done."""
    unit: str = "/s"
    rates: dict[str, list[float]] = field(default_factory=dict)
    costs_us: dict[str, list[float]] = field(default_factory=dict)

    async def turn(self, side: Side) -> None:
        side.rounds += 1
        before_s = processes.cpu_s(side.pids)
        rate, done = await self.work(side)
        used_s = processes.cpu_s(side.pids) - before_s
        self.rates.setdefault(side.name, []).append(rate)
        self.costs_us.setdefault(side.name, []).append(used_s / done * 1e6)


def rows(args: argparse.Namespace) -> list[Row]:
    def creates(name: str, plural: str, body: object) -> Row:
        async def work(side: Side) -> tuple[float, float]:
            path, tag = f"{side.base}/{plural}", f"r{side.rounds}"
            return _rate(
                await load.create(
                    side.target, name, path, tag, json.dumps(body), workers=WORKERS, seconds=args.seconds
                ),
                args.seconds,
            )

        return Row(name, work)

    def reads(name: str, path: str) -> Row:
        async def work(side: Side) -> tuple[float, float]:
            found = await load.get(
                side.target, name, f"{side.base}-listed/{path}", workers=WORKERS, seconds=args.seconds
            )
            return _rate(found, args.seconds)

        return Row(name, work)

    async def fans_out(side: Side) -> tuple[float, float]:
        found = await api.fan_out(side.target, f"{side.base.rpartition('/')[2]}-{side.rounds}", 500, 500)
        return found.value, 500 * 500

    def binds(nodes: int) -> Row:
        async def work(side: Side) -> tuple[float, float]:
            words = ["--nodes", str(nodes), "--pods", str(args.pods)]
            parser = argparse.ArgumentParser()
            sched.arguments(parser)
            found = await sched.measure(side.target, parser.parse_args(words))
            return found[0].value, args.pods

        return Row(f"bind-{nodes}", work)

    return [
        creates("create-configmap", "configmaps", api.CONFIGMAP),
        creates("create-pod", "pods", api.POD),
        reads("get", "pods/listed-0"),
        reads("list-500", "pods?limit=500"),
        reads("list-all", "pods?resourceVersion=0"),
        Row("fan-out", fans_out),
        *[binds(int(nodes)) for nodes in args.nodes.split(",") if nodes],
    ]


def _rate(found: Result, seconds: float) -> tuple[float, float]:
    return found.value, max(found.value * seconds, 1)


async def prepare(side: Side, listed: int) -> None:
    """The namespaces, and the pods that are read."""
    async with connections(side.target, 1) as (connection,):
        for base in (side.base, f"{side.base}-listed"):
            namespace = {"metadata": {"name": base.rpartition("/")[2]}}
            await connection.ask("POST", "/api/v1/namespaces", namespace)
            await sched.account(connection, base)

    async def create(connection: object, number: int) -> None:
        body = json.loads(json.dumps(api.POD).replace("NAME", f"listed-{number}"))
        await connection.ask("POST", f"{side.base}-listed/pods", body)  # type: ignore[attr-defined] # a Connection

    await for_each(side.target, listed, WORKERS, create)


def report(table: Sequence[Row], sides: Sequence[Side]) -> str:
    """One line for each row: median rates and their ratio, median costs and theirs."""
    ours, theirs = (side.name for side in sides)
    lines = [
        f"{'':<18}{ours + '/s':>14}{theirs + '/s':>14}{'ratio':>8}"
        f"{'spread':>14}{ours + ' us':>14}{theirs + ' us':>14}{'ratio':>8}"
    ]
    for row in table:
        rates = [percentile(row.rates[side.name], 0.5) for side in sides]
        costs = [percentile(row.costs_us[side.name], 0.5) for side in sides]
        by_round = [_ratio(a, b) for a, b in zip(row.rates[ours], row.rates[theirs], strict=True)]
        spread = f"{min(by_round):.1f}-{max(by_round):.1f}"
        lines.append(
            f"{row.name:<18}{rates[0]:>14,.1f}{rates[1]:>14,.1f}{_ratio(*rates):>8.2f}{spread:>14}"
            f"{costs[0]:>14,.0f}{costs[1]:>14,.0f}{_ratio(costs[1], costs[0]):>8.1f}"
        )
    return "\n".join(lines)


def _ratio(one: float, other: float) -> float:
    """Infinite where the other did nothing in its turn."""
    return one / other if other else float("inf")


async def compare(args: argparse.Namespace) -> Sequence[Result]:
    tag = f"bench-{int(time.time())}"
    names = args.names.split(",")
    pids = [[int(pid) for pid in text.split(",")] for text in args.pids] or [[], []]
    sides = [
        Side(name, await target_of(path), of, f"/api/v1/namespaces/{tag}")
        for name, path, of in zip(names, args.kubeconfigs, pids, strict=True)
    ]
    table = [row for row in rows(args) if not args.only or row.name in args.only.split(",")]
    for side in sides:
        await prepare(side, args.listed)
    for row in table:
        for number in range(args.rounds):
            for side in sides if number % 2 == 0 else reversed(sides):
                await row.turn(side)
        print(report([row], sides).splitlines()[1], flush=True)
    print(f"\n{report(table, sides)}")
    return [
        Result(f"{row.name} {what}", percentile(values[side.name], 0.5), unit, side.name)
        for row in table
        for what, values, unit in (("rate", row.rates, row.unit), ("cost", row.costs_us, "us"))
        for side in sides
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kubeconfigs", type=Path, nargs=2)
    parser.add_argument("--names", default="a,b", help="what to call the two")
    parser.add_argument("--pids", action="append", default=[], help="processes of a server, once for each")
    parser.add_argument("--only", default="", help="which rows, by comma; all if empty")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each turn of create, get and list")
    parser.add_argument("--listed", type=int, default=5187, help="pods in the namespace that is read")
    parser.add_argument("--pods", type=int, default=2000, help="pods that are bound")
    parser.add_argument("--nodes", default="1000", help="numbers of nodes to bind them to, by comma")
    parser.add_argument("--json", type=Path, default=Path("compare-results.json"))
    args = parser.parse_args()
    before = calibrate()
    results = run_loop(compare(args))
    print(f"\nbefore: {before}\nafter:  {calibrate()}")
    write_json(args.json, results, calibration=str(before))


if __name__ == "__main__":
    main()
