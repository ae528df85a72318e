"""All benchmarks with one command: starts a cluster with simulated nodes, measures, prints a table, writes JSON.

    python bench/run.py                                  # everything, on a cluster of its own
    python bench/run.py --only api,sched --quick
    python bench/run.py --kubeconfig FILE                # against a cluster that runs (any Kubernetes)

The calibration stands beside the figures: divide by it before comparing with figures of another moment or machine.
"""

from __future__ import annotations

import argparse
import sched
from collections.abc import Iterable, Sequence
from pathlib import Path

import api
import coldstart
import memory
import podstart
from calibrate import Calibration, calibrate
from cluster import place
from command import Measure, run_loop
from results import Result, table, write_json
from target import target_of

OWN = ("coldstart", "memory")
"""Need a cluster that we start; the others run against any."""
ANY = ("api", "sched", "podstart")
IDLE_NODES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, help="measure this cluster instead of one of our own")
    parser.add_argument("--only", default=",".join((*OWN, *ANY)), help="which, by comma (%(default)s)")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work: does it run at all")
    parser.add_argument("--json", type=Path, default=Path("bench-results.json"))
    args = parser.parse_args()
    wanted = args.only.split(",")
    if unknown := set(wanted) - set(OWN) - set(ANY):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    before = calibrate()
    print(before, flush=True)
    results = _against(args.kubeconfig, wanted, args.quick) if args.kubeconfig else _own(wanted, args.quick)
    after = calibrate()
    print(f"\n{table(results)}\n\nbefore: {before}\nafter:  {after}")
    write_json(args.json, results, calibration={"before": _figures(before), "after": _figures(after)})


def _figures(speed: Calibration) -> dict[str, float]:
    return {"one_core_per_s": speed.one_core_per_s, "two_cores_per_s": speed.two_cores_per_s}


def _own(wanted: Iterable[str], quick: bool) -> Sequence[Result]:
    results: list[Result] = []
    if "coldstart" in wanted:
        results += coldstart.measure(1 if quick else 5)
    with place() as cluster:
        cluster.up(IDLE_NODES)
        if "memory" in wanted:
            results += memory.measure(cluster.data_dir, 5 if quick else 30)
        results += _against(cluster.kubeconfig, wanted, quick)
    return results


def _against(kubeconfig: Path, wanted: Iterable[str], quick: bool) -> Sequence[Result]:
    modules = {"api": api, "sched": sched, "podstart": podstart}
    results: list[Result] = []
    for name in wanted:
        if name in modules:
            print(f"{name} ...", flush=True)
            parser = argparse.ArgumentParser()
            modules[name].arguments(parser)
            results += run_loop(_one(kubeconfig, modules[name].measure, parser.parse_args(_words(name, quick))))
    return results


async def _one(kubeconfig: Path, measure: Measure, args: argparse.Namespace) -> Sequence[Result]:
    return await measure(await target_of(kubeconfig), args)


def _words(name: str, quick: bool) -> list[str]:
    if not quick:
        return []
    return {
        "api": ["--seconds", "1", "--watchers", "20", "--events", "20"],
        "sched": ["--nodes", "100", "--pods", "200"],
        "podstart": ["--pods", "2"],
    }[name]


if __name__ == "__main__":
    main()
