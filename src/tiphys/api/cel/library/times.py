"""Parts of timestamps and durations. Source: cel-go common/stdlib/standard.go, common/types/timestamp.go."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

from tiphys.api.cel.declarations import Overload, overload
from tiphys.api.cel.errors import EvaluationError

_PARTS: tuple[tuple[str, str, Callable[[datetime], int]], ...] = (
    ("getFullYear", "year", lambda moment: moment.year),
    ("getMonth", "month", lambda moment: moment.month - 1),
    ("getDayOfYear", "day_of_year", lambda moment: moment.timetuple().tm_yday - 1),
    ("getDayOfMonth", "day_of_month", lambda moment: moment.day - 1),
    ("getDate", "day_of_month_1_based", lambda moment: moment.day),
    ("getDayOfWeek", "day_of_week", lambda moment: moment.isoweekday() % 7),
    ("getHours", "hours", lambda moment: moment.hour),
    ("getMinutes", "minutes", lambda moment: moment.minute),
    ("getSeconds", "seconds", lambda moment: moment.second),
    ("getMilliseconds", "milliseconds", lambda moment: moment.microsecond // 1000),
)
_LENGTHS: tuple[tuple[str, str, timedelta], ...] = (
    ("getHours", "hours", timedelta(hours=1)),
    ("getMinutes", "minutes", timedelta(minutes=1)),
    ("getSeconds", "seconds", timedelta(seconds=1)),
    ("getMilliseconds", "milliseconds", timedelta(milliseconds=1)),
)


@lru_cache(maxsize=256)
def _zone(name: str) -> tzinfo:
    """An IANA name, or an offset such as `-08:00`. Raises EvaluationError."""
    hours, colon, minutes = name.partition(":")
    if colon:
        try:
            whole, rest = int(hours), int(minutes)
            return timezone(timedelta(minutes=whole * 60 + (-rest if name[0] == "-" else rest)))
        except ValueError:
            wrong = hours if not hours.lstrip("+-").isdigit() else minutes
            raise EvaluationError(f'strconv.Atoi: parsing "{wrong}": invalid syntax') from None
    if name in ("", "UTC"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise EvaluationError(f"unknown time zone {name}") from None


def _at(part: Callable[[datetime], int]) -> Callable[[datetime, str], int]:
    def apply(moment: datetime, zone: str) -> int:
        try:
            return part(moment.astimezone(_zone(zone)))
        except OverflowError:
            raise EvaluationError("timestamp overflow") from None

    return apply


def _utc(part: Callable[[datetime], int]) -> Callable[[datetime], int]:
    return lambda moment: part(moment.astimezone(UTC))


def _count(unit: timedelta) -> Callable[[timedelta], int]:
    def apply(length: timedelta) -> int:
        whole = abs(length) // unit
        return whole if length >= timedelta() else -whole

    return apply


def _overloads() -> Iterator[Overload]:
    for function, word, part in _PARTS:
        yield overload(f"timestamp_to_{word}", f"timestamp.{function}() -> int", _utc(part))
        yield overload(f"timestamp_to_{word}_with_tz", f"timestamp.{function}(string) -> int", _at(part))
    for function, word, unit in _LENGTHS:
        yield overload(f"duration_to_{word}", f"duration.{function}() -> int", _count(unit))


OVERLOADS = tuple(_overloads())
