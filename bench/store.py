"""The embedded store alone: durable puts by many writers, ranges of a hundred, and opening many keys.

    python bench/store.py [--puts 20000] [--writers 64] [--ranges 50000] [--keys 1000000]

Opening is measured in a process of its own: what it takes until the first read is answered, and its memory.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from calibrate import calibrate
from command import run_loop
from results import Result, table

from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Compare, Put, Store

VALUE = b"v" * 512
_AT_ONCE = 1000
_OPEN = """
import asyncio, sys, time
from tiphys.store.embedded.store import EmbeddedStore
async def main():
    began_s = time.perf_counter()
    store = await EmbeddedStore.open(sys.argv[1])
    assert await store.get(b"/many/0000000001") is not None
    took_s = time.perf_counter() - began_s
    resident_kb = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmRSS"))
    anonymous_kb = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("RssAnon"))
    print(took_s, int(resident_kb) / 1024, int(anonymous_kb) / 1024)
asyncio.run(main())
"""


def key(prefix: str, number: int) -> bytes:
    return f"/{prefix}/{number:010d}".encode()


async def measure(args: argparse.Namespace) -> Sequence[Result]:
    sys.setswitchinterval(0.0005)
    with tempfile.TemporaryDirectory(prefix="tiphys-bench-") as directory:
        store = await EmbeddedStore.open(directory)
        try:
            results = [await puts(store, args.puts, args.writers), *await ranges(store, args.puts, args.ranges)]
            await fill(store, args.keys)
        finally:
            await store.close()
        return [*results, *opening(Path(directory), args.keys)]


async def puts(store: Store, count: int, writers: int) -> Result:
    """Each a transaction of its own that expects the key not to be there, as a create does."""
    numbers = iter(range(count))

    async def writer() -> None:
        for number in numbers:
            name = key("puts", number)
            await store.txn((Compare(name, 0),), (Put(name, VALUE),))

    began_s = time.perf_counter()
    await asyncio.gather(*[writer() for _ in range(writers)])
    return Result(
        "durable puts", count / (time.perf_counter() - began_s), "/s", f"{writers} writers, {len(VALUE)} bytes"
    )


async def ranges(store: Store, keys: int, count: int) -> Sequence[Result]:
    """Every key once, as whoever pages through them; then the same ones again and again."""
    began_s = time.perf_counter()
    for start in range(0, keys, 100):
        assert len((await store.range(key("puts", start), key("puts", start + 100))).records) == 100
    first_rate = keys / 100 / (time.perf_counter() - began_s)
    began_s = time.perf_counter()
    for turn in range(count):
        start = turn * 7919 % (keys - 100)
        found = await store.range(key("puts", start), key("puts", start + 100))
        assert len(found.records) == 100
    rate = count / (time.perf_counter() - began_s)
    return [
        Result("ranges of 100 keys, first time", first_rate, "/s", f"{first_rate * 100:,.0f} records/s, one reader"),
        Result("ranges of 100 keys, often", rate, "/s", f"{rate * 100:,.0f} records/s, one reader"),
    ]


async def fill(store: EmbeddedStore, count: int) -> None:
    for start in range(0, count, _AT_ONCE):
        await store.txn((), [Put(key("many", number), VALUE) for number in range(start, start + _AT_ONCE)])


def opening(directory: Path, keys: int) -> Sequence[Result]:
    done = subprocess.run([sys.executable, "-c", _OPEN, str(directory)], capture_output=True, text=True, check=True)
    took_s, resident_mb, anonymous_mb = map(float, done.stdout.split())
    how = f"{keys:,} keys of {len(VALUE)} bytes"
    return [
        Result("opening", took_s, "s", how),
        Result("memory when opened", anonymous_mb, "MB", f"{resident_mb:,.0f} MB with the pages of the file"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--puts", type=int, default=20_000)
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--ranges", type=int, default=50_000)
    parser.add_argument("--keys", type=int, default=1_000_000)
    args = parser.parse_args()
    print(calibrate())
    print(table(run_loop(measure(args))))


if __name__ == "__main__":
    main()
