from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.kinds.core.pod.log_options import LogOptions
from tiphys.kubelet.logs import parse, read_log, tail_offset, tail_text, time_of

STAMP = "2026-01-02T03:04:0{}.123456789Z"


def lines(*entries: tuple[str, str, str]) -> bytes:
    """(stream, tag, text) at seconds 0, 1, 2..."""
    return "".join(f"{STAMP.format(n)} {s} {t} {text}\n" for n, (s, t, text) in enumerate(entries)).encode()


async def text_of(path: Path, *, running: bool = False, **options: object) -> str:
    async def still_running() -> bool:
        return running

    pieces = [p async for p in read_log(path, LogOptions(**options), still_running)]  # type: ignore[arg-type]  # shorthand
    return b"".join(pieces).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_bytes(
        lines(("stdout", "F", "one"), ("stderr", "P", "tw"), ("stderr", "F", "o"), ("stdout", "F", "three"))
    )
    return path


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, "one\ntwo\nthree\n"),
        ({"tail_lines": 1}, "three\n"),
        ({"tail_lines": 0}, ""),
        ({"tail_lines": 99}, "one\ntwo\nthree\n"),
        ({"since": datetime(2026, 1, 2, 3, 4, 3, tzinfo=UTC)}, "three\n"),
        ({"limit_bytes": 5}, "one\nt"),
        ({"stream": "Stderr"}, "two\n"),
        ({"timestamps": True, "tail_lines": 1}, "2026-01-02T03:04:03.123456789Z three\n"),
    ],
)
async def test_options(log: Path, options: dict[str, object], wanted: str) -> None:
    assert await text_of(log, **options) == wanted


async def test_what_is_written_while_it_is_read_is_not_of_it(log: Path) -> None:
    reading = read_log(log, LogOptions(limit_bytes=None, tail_lines=1), lambda: asyncio.sleep(0, True))
    wanted = asyncio.ensure_future(anext(reading))
    await asyncio.sleep(0)  # the end is measured, and the tail is looked for in a thread
    with log.open("ab") as file:
        file.write(lines(("stdout", "F", "four")))
    assert await wanted == b"three\n"
    assert [piece async for piece in reading] == []


async def test_a_partial_line_has_one_timestamp(log: Path) -> None:
    assert (await text_of(log, timestamps=True)).splitlines()[1] == "2026-01-02T03:04:01.123456789Z two"


async def test_follow_sees_what_is_appended_and_a_rotated_file(log: Path) -> None:
    running = True

    async def still_running() -> bool:
        return running

    seen: list[bytes] = []

    async def follow() -> None:
        async for piece in read_log(log, LogOptions(follow=True, tail_lines=1), still_running):
            seen.append(piece)

    task = asyncio.create_task(follow())

    async def until(text: bytes) -> None:
        async with asyncio.timeout(5):
            while b"".join(seen) != text:  # noqa: ASYNC110 - the reader has nothing to wait for but the file
                await asyncio.sleep(0.001)

    await until(b"three\n")
    with log.open("ab") as file:
        file.write(lines(("stdout", "F", "four")))
    await until(b"three\nfour\n")
    log.rename(log.with_name("0.log.old"))
    log.write_bytes(lines(("stdout", "F", "five")))
    await until(b"three\nfour\nfive\n")
    running = False
    with log.open("ab") as file:
        file.write(lines(("stdout", "F", "last")))
    async with asyncio.timeout(5):
        await task
    assert b"".join(seen) == b"three\nfour\nfive\nlast\n"


def test_lines_of_another_format_are_none() -> None:
    assert parse(b"hello\n") is None and parse(b"2026 nowhere F x\n") is None


def test_time_of_cuts_nanoseconds() -> None:
    assert time_of(b"2026-01-02T03:04:05.123456789Z") == datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)
    assert time_of(b"2026-01-02T03:04:05.1+02:00") == datetime(2026, 1, 2, 1, 4, 5, 100000, tzinfo=UTC)
    assert time_of(b"no") is None


@given(st.lists(st.binary(max_size=40).map(lambda b: b.replace(b"\n", b"")), max_size=30), st.integers(0, 35))
def test_tail_offset_is_where_the_last_lines_begin(texts: list[bytes], count: int) -> None:
    import tempfile

    data = b"".join(text + b"\n" for text in texts)
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        offset = tail_offset(Path(file.name), count, len(data))
    kept = texts[len(texts) - min(count, len(texts)) :]
    assert data[offset:] == b"".join(text + b"\n" for text in kept)


def test_tail_text_is_plain(log: Path) -> None:
    assert tail_text(log, 2, 100) == "o\nthree\n"
    assert tail_text(log.with_name("none"), 2, 100) == ""


async def test_follow_ends_soon_after_the_writer_has_closed_the_log(log: Path) -> None:
    answers = iter((True, True, False))  # the news of the end comes a little later than the end
    asked = asyncio.Event()

    async def still_running() -> bool:
        asked.set()
        return next(answers)

    async def follow() -> None:
        async for _ in read_log(log, LogOptions(follow=True), still_running):
            pass

    with log.open("ab"):
        task = asyncio.create_task(follow())
        await asked.wait()
    async with asyncio.timeout(1):
        await task
