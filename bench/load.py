"""Requests as fast as the server answers: by `wrk` where it is installed, else by this process."""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
import tempfile
import time
from pathlib import Path

from results import Result, spread_ms
from target import Connection, Refused, Target, connections

_SCRIPTS = Path(__file__).parent / "wrk"
_RATE = re.compile(r"Requests/sec:\s*([\d.]+)")
_LATENCY = re.compile(r"^\s*(50|99)%\s+(\S+)", re.MULTILINE)


async def get(target: Target, name: str, path: str, *, workers: int, seconds: float) -> Result:
    """GET `path` over and over."""
    if shutil.which("wrk"):
        return await _wrk(target, name, workers, seconds, "get.lua", path)

    async def one(connection: Connection, _number: int) -> None:
        status, _ = await connection.request("GET", path)
        if status != 200:
            raise Refused(f"GET {path}: {status}")

    return await _own(target, name, workers, seconds, one)


async def create(target: Target, name: str, path: str, tag: str, body: str, *, workers: int, seconds: float) -> Result:
    """POST `body`, with a new name in place of `NAME` each time."""
    if shutil.which("wrk"):
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            file.write(body)
            file.flush()
            return await _wrk(target, name, workers, seconds, "create.lua", path, tag, file.name)

    async def one(connection: Connection, number: int) -> None:
        status, answer = await connection.request("POST", path, body.replace("NAME", f"{tag}-{number}").encode())
        if status != 201:
            raise Refused(f"POST {path}: {status} {answer[:200]!r}")

    return await _own(target, name, workers, seconds, one)


async def _wrk(target: Target, name: str, workers: int, seconds: float, script: str, *arguments: str) -> Result:
    process = await asyncio.create_subprocess_exec(
        "wrk", "-t1", f"-c{workers}", f"-d{seconds:g}s", "--latency", "-s", str(_SCRIPTS / script), target.url,
        "--", target.token, *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    text = (await process.communicate())[0].decode()
    rate = _RATE.search(text)
    if process.returncode or rate is None or "refused" in text or "Non-2xx" in text:
        raise Refused(f"{name}: wrk says\n{text}")
    latency = ", ".join(f"p{share} {value}" for share, value in _LATENCY.findall(text))
    return Result(name, float(rate.group(1)), "req/s", f"{latency} ({workers} connections)")


async def _own(target: Target, name: str, workers: int, seconds: float, one: object) -> Result:
    took: list[float] = []
    numbers = itertools.count()
    end_s = time.perf_counter() + seconds

    async def worker(connection: Connection) -> None:
        while (began_s := time.perf_counter()) < end_s:
            await one(connection, next(numbers))  # type: ignore[operator] # one of the two functions above
            took.append(time.perf_counter() - began_s)

    async with connections(target, workers) as opened, asyncio.TaskGroup() as tasks:
        for connection in opened:
            tasks.create_task(worker(connection))
    return Result(name, len(took) / seconds, "req/s", f"{spread_ms(took)} ({workers} connections, own client)")
