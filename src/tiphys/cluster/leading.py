"""Which of several control planes works: those that share an etcd elect one for controllers, one for the scheduler.

API servers all serve, all the time. A control plane that loses a lease ends, and its supervisor starts it again: it
then waits as the others do. Alone on an embedded store nobody else could lead, and nothing is elected.
"""

from __future__ import annotations

import socket
import uuid
from collections.abc import Awaitable, Callable

from tiphys.base.clock import Clock
from tiphys.client.interface import Client
from tiphys.client.leases import LeaderElector, LeadershipLost, LeaseSettings
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.settings import ClusterSettings


async def leading(
    settings: ClusterSettings, client: Client, clock: Clock, name: str, work: Callable[[], Awaitable[None]]
) -> None:
    """Run `work` while this control plane holds the Lease kube-system/`name`. Raises ClusterError when it is lost."""
    if settings.etcd is None:
        await work()
        return
    identity = f"{socket.gethostname().lower()}_{uuid.uuid4()}"
    elector = LeaderElector(client, clock, name, identity, settings=lease_settings(settings.lease_duration_s))
    try:
        await elector.run(work)
    except LeadershipLost as error:
        raise ClusterError(str(error)) from error


def lease_settings(duration_s: float) -> LeaseSettings:
    """Upstream's proportions (15, 10 and 2 seconds) for any duration."""
    return LeaseSettings(duration_s, duration_s * 2 / 3, duration_s * 2 / 15)
