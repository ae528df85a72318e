"""Cron schedules as CronJobs know them: five fields, `@daily` and the like, `@every 90s`, and a time zone in front.

No library reads the same language: both that are kept refuse `@every` and accept what upstream refuses (`L`, `#`).
Source: github.com/robfig/cron/v3 (parser.go, spec.go, constantdelay.go).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Protocol

YEARS_AHEAD = 5
"""A schedule that never comes true (30 February) is given up after so many years."""


class Schedule(Protocol):
    def next(self, after: datetime) -> datetime | None:
        """The first moment later than `after`, in UTC; None: never."""


@dataclass(frozen=True, slots=True)
class Field:
    values: frozenset[int]
    any: bool
    """Written `*` or `?`. Matters where the two day fields meet: if neither is, one match is enough."""


@dataclass(frozen=True, slots=True)
class _Bounds:
    low: int
    high: int
    names: Mapping[str, int]


_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_BOUNDS = (
    _Bounds(0, 59, {}),
    _Bounds(0, 23, {}),
    _Bounds(1, 31, {}),
    _Bounds(1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    _Bounds(0, 6, {name: number for number, name in enumerate(_DAYS)}),
)
_DESCRIPTORS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True)
class Calendar:
    """Minutes, hours and days, as clocks in `zone` show them. An hour that a clock skips is skipped, one that it shows
    twice counts twice."""

    minute: Field
    hour: Field
    day: Field
    month: Field
    weekday: Field
    zone: tzinfo

    def next(self, after: datetime) -> datetime | None:
        moment = (after.astimezone(UTC) + timedelta(seconds=1)).replace(microsecond=0)
        if moment.second:
            moment = moment.replace(second=0) + timedelta(minutes=1)
        start = today = moment.astimezone(self.zone).date()
        while today.year <= start.year + YEARS_AHEAD:
            if self._fits(today):
                found = self._within(today, moment)
                if found is not None:
                    return found
            today += timedelta(days=1)
        return None

    def _fits(self, today: date) -> bool:
        if today.month not in self.month.values:
            return False
        day, weekday = today.day in self.day.values, (today.isoweekday() % 7) in self.weekday.values
        return (day and weekday) if self.day.any or self.weekday.any else (day or weekday)

    def _within(self, today: date, earliest: datetime) -> datetime | None:
        """The first moment of the day `today` that is no earlier than `earliest`."""
        midnight = datetime(today.year, today.month, today.day, tzinfo=self.zone).astimezone(UTC)
        moment = max(earliest, midnight)
        while (local := moment.astimezone(self.zone)).date() == today:
            if local.hour not in self.hour.values:
                moment += timedelta(minutes=60 - local.minute)
            elif local.minute not in self.minute.values:
                moment += timedelta(minutes=1)
            else:
                return moment
        return None


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again after the same time, in whole seconds."""

    delay_s: int

    def next(self, after: datetime) -> datetime | None:
        return after.astimezone(UTC).replace(microsecond=0) + timedelta(seconds=self.delay_s)


def parse(text: str, zone: tzinfo = UTC) -> Schedule:
    """Reads a schedule; times are those of `zone`, unless the text begins with another. Raises ValueError with
    upstream's words."""
    if not text:
        raise ValueError("empty spec string")
    if text.startswith(("TZ=", "CRON_TZ=")):
        head, _, text = text.partition(" ")
        zone, text = _zone(head.partition("=")[2]), text.strip()
    if text.startswith("@"):
        return _descriptor(text, zone)
    words = text.split()
    if len(words) != len(_BOUNDS):
        raise ValueError(f"expected exactly {len(_BOUNDS)} fields, found {len(words)}: [{' '.join(words)}]")
    minute, hour, day, month, weekday = (_field(word, bounds) for word, bounds in zip(words, _BOUNDS, strict=True))
    return Calendar(minute, hour, day, month, weekday, zone)


def zone_of(name: str) -> tzinfo:
    """The time zone of the IANA database by its name. Raises ValueError."""
    if name in ("", "UTC"):
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"unknown time zone {name}") from None


def _zone(name: str) -> tzinfo:
    try:
        return zone_of(name)
    except ValueError as error:
        raise ValueError(f"provided bad location {name}: {error}") from None


def _descriptor(text: str, zone: tzinfo) -> Schedule:
    known = _DESCRIPTORS.get(text)
    if known is not None:
        return parse(known, zone)
    if text.startswith("@every "):
        duration = text.removeprefix("@every ")
        try:
            delay_s = duration_s(duration)
        except ValueError as error:
            raise ValueError(f"failed to parse duration {text}: {error}") from None
        return Every(max(1, int(delay_s)))
    raise ValueError(f"unrecognized descriptor: {text}")


_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+(?:\.\d*)?|\.\d+)([^\d.]*)", re.ASCII)


def duration_s(text: str) -> float:
    """A Go duration (`1h30m`, `-1.5s`, `0`) in seconds. Raises ValueError with Go's words."""
    sign, rest = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    if rest == "0":
        return 0.0
    total, position = 0.0, 0
    while position < len(rest):
        match = _PART.match(rest, position)
        if match is None:
            raise ValueError(f'time: invalid duration "{text}"')
        if not match[2]:
            raise ValueError(f'time: missing unit in duration "{text}"')
        if match[2] not in _UNITS_S:
            raise ValueError(f'time: unknown unit "{match[2]}" in duration "{text}"')
        total += float(match[1]) * _UNITS_S[match[2]]
        position = match.end()
    if not rest:
        raise ValueError(f'time: invalid duration "{text}"')
    return sign * total


# --- fields


def _field(text: str, bounds: _Bounds) -> Field:
    values: set[int] = set()
    everything = False
    for part in filter(None, text.split(",")):
        found, star = _range(part, bounds)
        values |= found
        everything = everything or star
    return Field(frozenset(values), everything)


def _range(text: str, bounds: _Bounds) -> tuple[set[int], bool]:
    """The values of `1-5/2`, and whether it was a star without a step."""
    ends, *steps = text.split("/")
    low, *highs = ends.split("-")
    star = low in ("*", "?")
    if star:
        first, last = bounds.low, bounds.high
    else:
        first = last = _number_or_name(low, bounds)
        if len(highs) > 1:
            raise ValueError(f"too many hyphens: {text}")
        if highs:
            last = _number_or_name(highs[0], bounds)
    if len(steps) > 1:
        raise ValueError(f"too many slashes: {text}")
    step = _number(steps[0]) if steps else 1
    if steps and not highs:
        last = bounds.high
    if first < bounds.low:
        raise ValueError(f"beginning of range ({first}) below minimum ({bounds.low}): {text}")
    if last > bounds.high:
        raise ValueError(f"end of range ({last}) above maximum ({bounds.high}): {text}")
    if first > last:
        raise ValueError(f"beginning of range ({first}) beyond end of range ({last}): {text}")
    if step == 0:
        raise ValueError(f"step of range should be a positive number: {text}")
    return set(range(first, last + 1, step)), star and step == 1


def _number_or_name(text: str, bounds: _Bounds) -> int:
    named = bounds.names.get(text.lower())
    return named if named is not None else _number(text)


def _number(text: str) -> int:
    digits = text[1:] if text[:1] in ("+", "-") else text
    if not digits.isascii() or not digits.isdigit():
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": invalid syntax')
    if len(digits.lstrip("0")) > 18:
        raise ValueError(f'failed to parse int from {text}: strconv.Atoi: parsing "{text}": value out of range')
    value = int(text)
    if value < 0:
        raise ValueError(f"negative number ({value}) not allowed: {text}")
    return value
