"""The embedded store shown as an etcd: for `etcdctl` and tools that read Kubernetes' etcd. Reading only.

Whoever has the client certificate below DATA-DIR/pki/etcd reads everything, Secrets too, as with a real etcd.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from tiphys.base.clock import Clock
from tiphys.cluster import etcd_members
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.settings import ClusterSettings, DataDirectory
from tiphys.store.interface import Store

if TYPE_CHECKING:
    from tiphys.store.embedded.store import EmbeddedStore


@asynccontextmanager
async def shown(data: DataDirectory, settings: ClusterSettings, store: Store, clock: Clock) -> AsyncIterator[None]:
    """While the context lasts, where settings ask for it. Raises ClusterError."""
    if not settings.etcd_view_port or settings.etcd is not None:
        yield
        return
    from tiphys.store.etcd.serving import EtcdView

    certificates = etcd_members.managed_certificates(data.pki)
    certificates.create((), clock.now())
    member, ca = certificates.pair("member"), certificates.pair("ca").certificate
    view = EtcdView(cast("EmbeddedStore", store))
    try:
        await view.start("127.0.0.1", settings.etcd_view_port, ca, member.certificate, member.key)
    except OSError as error:
        raise ClusterError(str(error), "choose another --etcd-view-port") from error
    try:
        yield
    finally:
        await view.stop()
