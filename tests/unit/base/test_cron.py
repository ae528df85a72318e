from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.base.cron import duration_s, parse, zone_of


def after(text: str, moment: str, zone: str = "") -> str:
    found = parse(text, zone_of(zone)).next(datetime.fromisoformat(moment))
    return found.strftime("%Y-%m-%dT%H:%M:%S") if found is not None else "never"


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:00+00:00", "2026-01-01T00:01:00"),
        ("* * * * *", "2026-01-01T00:00:59+00:00", "2026-01-01T00:01:00"),
        ("*/15 * * * *", "2026-01-01T00:16:00+00:00", "2026-01-01T00:30:00"),
        ("5/15 * * * *", "2026-01-01T00:06:00+00:00", "2026-01-01T00:20:00"),
        ("0 9-17/4 * * MON-FRI", "2026-01-02T18:00:00+00:00", "2026-01-05T09:00:00"),
        ("30 2 29 feb ?", "2026-01-01T00:00:00+00:00", "2028-02-29T02:30:00"),
        ("0 0 30 2 *", "2026-01-01T00:00:00+00:00", "never"),
        ("0 0 13 * 5", "2026-01-01T00:00:00+00:00", "2026-01-02T00:00:00"),
        ("0 0 13 * *", "2026-01-01T00:00:00+00:00", "2026-01-13T00:00:00"),
        ("0 0 */2 * 1", "2026-01-01T00:00:00+00:00", "2026-01-03T00:00:00"),
        ("@hourly", "2026-01-01T00:00:00+00:00", "2026-01-01T01:00:00"),
        ("@weekly", "2026-01-01T00:00:00+00:00", "2026-01-04T00:00:00"),
        ("@yearly", "2026-01-01T00:00:00+00:00", "2027-01-01T00:00:00"),
        ("@every 1h30m", "2026-01-01T00:00:00.5+00:00", "2026-01-01T01:30:00"),
        ("@every 10ms", "2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01"),
        ("TZ=Asia/Tokyo 0 9 * * *", "2026-01-01T00:00:01+00:00", "2026-01-02T00:00:00"),
    ],
)
def test_the_next_time(text: str, moment: str, expected: str) -> None:
    assert after(text, moment) == expected


@pytest.mark.parametrize(
    ("text", "moment", "expected"),
    [
        # Clocks in Berlin go from 2:00 to 3:00: what was due between is left out that day.
        ("30 2 * * *", "2026-03-28T12:00:00+00:00", "2026-03-30T00:30:00"),
        ("0 3 * * *", "2026-03-28T12:00:00+00:00", "2026-03-29T01:00:00"),
        # They go back from 3:00 to 2:00: what is due between comes twice.
        ("30 2 * * *", "2026-10-24T12:00:00+00:00", "2026-10-25T00:30:00"),
        ("30 2 * * *", "2026-10-25T00:30:00+00:00", "2026-10-25T01:30:00"),
        ("30 2 * * *", "2026-10-25T01:30:00+00:00", "2026-10-26T01:30:00"),
    ],
)
def test_clocks_that_change(text: str, moment: str, expected: str) -> None:
    assert after(text, moment, "Europe/Berlin") == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty spec string"),
        ("* * * *", "expected exactly 5 fields, found 4: [* * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        ("x * * * *", 'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax'),
        ("* * L * *", 'failed to parse int from L: strconv.Atoi: parsing "L": invalid syntax'),
        ("@reboot", "unrecognized descriptor: @reboot"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
        ("TZ=Nowhere * * * * *", "provided bad location Nowhere: unknown time zone Nowhere"),
    ],
)
def test_what_is_wrong_is_said_in_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) == message


@given(
    st.sampled_from(["*/7 * * * *", "0 */5 * * *", "15 3 1,15 * *", "0 0 * * 1-5", "59 23 31 12 *"]),
    st.sampled_from(["", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"]),
    st.integers(0, 3 * 365 * 24 * 60),
)
def test_times_are_later_match_and_none_between_is_left_out(text: str, zone: str, minutes: int) -> None:
    schedule = parse(text, zone_of(zone))
    start = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    found = schedule.next(start)
    assert found is not None
    assert found > start
    assert schedule.next(found - timedelta(seconds=1)) == found
    halfway = start + (found - start) / 2
    assert schedule.next(halfway) == found


@pytest.mark.parametrize(
    ("text", "expected"), [("0", 0), ("1h30m", 5400), ("1.5s", 1.5), ("-2m", -120), ("100ms", 0.1), ("+3us", 3e-6)]
)
def test_durations(text: str, expected: float) -> None:
    assert duration_s(text) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "1", "s", "1x", "1h 2m", "--1s"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="time: "):
        duration_s(text)
