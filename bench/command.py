"""What every benchmark's command line has in common."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from calibrate import calibrate
from results import Result, table, write_json
from target import Refused, Target, add_arguments, resolve

Measure = Callable[[Target, argparse.Namespace], Awaitable[Sequence[Result]]]


def run(description: str | None, arguments: Callable[[argparse.ArgumentParser], None], measure: Measure) -> None:
    """Parse, calibrate, measure, print."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    parser.add_argument("--json", type=Path, help="also write the results there")
    arguments(parser)
    args = parser.parse_args()
    speed = calibrate()
    print(speed, flush=True)
    results = run_loop(_measured(measure, args))
    print(table(results))
    if args.json:
        write_json(args.json, results, calibration=str(speed))


async def _measured(measure: Measure, args: argparse.Namespace) -> Sequence[Result]:
    return await measure(await resolve(args), args)


def run_loop(work: Awaitable[Sequence[Result]]) -> Sequence[Result]:
    """On uvloop where it is installed: the client must cost less than the server."""

    async def main() -> Sequence[Result]:
        return await work

    try:
        import uvloop
    except ImportError:
        start = asyncio.run
    else:
        start = uvloop.run
    try:
        return start(main())
    except Refused as error:
        raise SystemExit(str(error)) from None
