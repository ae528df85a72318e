"""What the command line and a file say together. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tiphys.base.cron import duration_s
from tiphys.client.leases import LeaseSettings
from tiphys.scheduler import thirdparty_names
from tiphys.scheduler.config import schema
from tiphys.scheduler.config.file import Loaded, load
from tiphys.scheduler.config.problem import ConfigurationError
from tiphys.scheduler.settings import DEFAULT_NAME, ProfileSettings, SchedulerSettings


@dataclass(frozen=True)
class Election:
    """Which lease to hold while working."""

    name: str
    namespace: str
    settings: LeaseSettings


def loaded(path: Path | None, scheduler_name: str) -> Loaded:
    """The file's settings, or the defaults under `scheduler_name`. Raises ConfigurationError."""
    if path is not None:
        if scheduler_name:
            raise ConfigurationError("--scheduler-name and --config: the file's profiles have the names")
        return load(path, thirdparty_names.names())
    profile = ProfileSettings(scheduler_name or DEFAULT_NAME)
    return Loaded(SchedulerSettings(profiles=(profile,)), schema.LeaderElection(), "")


def election_of(found: Loaded, flag: bool | None) -> Election | None:
    """None: work without a lease. The flag, where given, outweighs the file. Raises ConfigurationError."""
    stated = found.leader_election
    if not (stated.leader_elect if flag is None else flag):
        return None
    try:
        settings = LeaseSettings(
            duration_s(stated.lease_duration), duration_s(stated.renew_deadline), duration_s(stated.retry_period)
        )
    except ValueError as error:
        raise ConfigurationError(f"leaderElection: {error}") from None
    return Election(stated.resource_name, stated.resource_namespace, settings)
