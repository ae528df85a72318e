"""When a CronJob should have started last, and when it will next.

Source: pkg/controller/cronjob/utils.go (mostRecentScheduleTime, nextScheduleTimeDuration).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

from tiphys.api.kinds.batch.cronjob import CronJob
from tiphys.base.clock import parse_rfc3339
from tiphys.base.cron import Schedule

MISSED_MANY = 100
DELTA_S = 0.1
"""A little later than the time itself, lest a clock that lags makes it early."""


class Due(NamedTuple):
    since: datetime
    """Where looking for start times began."""
    latest: datetime | None
    """The last start time that has come; None: none has since."""
    missed: int
    """About how many have come, if more than one."""


def due(cron_job: CronJob, schedule: Schedule, now: datetime, *, within_deadline: bool) -> Due:
    """Raises ValueError for a schedule whose times are less than a second apart."""
    since = parse_rfc3339(cron_job.metadata.creation_timestamp or "1970-01-01T00:00:00Z")
    if cron_job.status.last_schedule_time:
        since = parse_rfc3339(cron_job.status.last_schedule_time)
    deadline_s = cron_job.spec.starting_deadline_seconds
    if within_deadline and deadline_s is not None:
        since = max(since, now - timedelta(seconds=deadline_s))
    first = schedule.next(since)
    if first is None or now < first:
        return Due(since, None, 0)
    second = schedule.next(first)
    if second is None or now < second:
        return Due(since, first, 0)
    between_s = round((second - first).total_seconds())
    if between_s < 1:
        raise ValueError("time difference between two schedules is less than 1 second")
    missed = int((now - first).total_seconds()) // between_s + 1
    # Times need not be evenly spaced: the search starts a little before where the last would be if they were.
    moment = schedule.next(first + timedelta(seconds=(missed - 2) * between_s))
    latest = None
    while moment is not None and moment <= now:
        latest, moment = moment, schedule.next(moment)
    return Due(since, latest, missed)


def wait_s(cron_job: CronJob, schedule: Schedule, now: datetime) -> float | None:
    """How long until the next start time; None: never."""
    try:
        known = due(cron_job, schedule, now, within_deadline=False)
        start = known.latest or (now if known.missed else known.since)
    except ValueError:
        start = now
    moment = schedule.next(start)
    return None if moment is None else (moment - now).total_seconds() + DELTA_S
