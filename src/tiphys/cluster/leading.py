"""Which of several control planes works: those that share an etcd elect one for controllers, one for the scheduler.

API servers all serve, all the time: a control plane that loses a lease ends only the work that the lease was for, and
waits for it as the others do. Alone on an embedded store nobody else could lead, and nothing is elected.
"""

from __future__ import annotations

import logging
import socket
import uuid
from collections.abc import Awaitable, Callable

from tiphys.base.clock import Clock
from tiphys.client.interface import Client
from tiphys.client.leases import LeaderElector, LeadershipLost, LeaseSettings
from tiphys.cluster.settings import ClusterSettings

log = logging.getLogger(__name__)


async def leading(
    settings: ClusterSettings, client: Client, clock: Clock, name: str, work: Callable[[], Awaitable[None]]
) -> None:
    """Run `work` whenever, and only while, this control plane holds the Lease kube-system/`name`.

    `work` is cancelled when the lease is lost, and begun anew when it is held again. Returns when `work` does.
    """
    if settings.etcd is None:
        await work()
        return
    identity = f"{socket.gethostname().lower()}_{uuid.uuid4()}"
    elector = LeaderElector(client, clock, name, identity, settings=lease_settings(settings.lease_duration_s))
    while True:
        try:
            await elector.run(work)
            return
        except LeadershipLost as error:
            log.warning("%s: its work is stopped until it leads again", error)


def lease_settings(duration_s: float) -> LeaseSettings:
    """Upstream's proportions (15, 10 and 2 seconds) for any duration."""
    return LeaseSettings(duration_s, duration_s * 2 / 3, duration_s * 2 / 15)
