"""metrics.k8s.io on every cluster of ours, without a pod for it: the control plane answers in place of the Service
`kube-system/metrics-server`. Who installs a metrics-server of their own makes that Service, and that answers then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tiphys.cluster.certificates import ADMIN_GROUP

if TYPE_CHECKING:
    from tiphys.addons.metrics.api import MetricsApi
    from tiphys.apiserver.chain.exchange import Exchange, Reply
    from tiphys.apiserver.server import ApiServer
    from tiphys.base.clock import Clock
    from tiphys.client.interface import Client

SERVICE = ("kube-system", "metrics-server")
_GROUP_PRIORITY, _VERSION_PRIORITY = 100, 100


class ClusterMetrics:
    """`server` must be set before the first request; nothing is loaded until it comes."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.server: ApiServer | None = None
        self._api: MetricsApi | None = None

    async def serve(self, exchange: Exchange) -> Reply:
        """A `Handler` of the API server. Raises ApiError."""
        import msgspec

        from tiphys.apiserver.chain.exchange import Answer, parse_query

        query = {name: values[0] for name, values in parse_query(exchange.raw_query).items()}
        document = await self._opened().answer(exchange.method, exchange.path, query)
        return Answer(msgspec.json.encode(document))

    def _opened(self) -> MetricsApi:
        from tiphys.addons.metrics.api import MetricsApi
        from tiphys.api.errors import ServiceUnavailable

        if self._api is None:
            if self.server is None:
                raise ServiceUnavailable("the metrics API is not ready")
            self._api = MetricsApi(client_of(self.server), self._clock)
        return self._api


def client_of(server: ApiServer) -> Client:
    from tiphys.apiserver.request import User

    return server.local_client(User("system:metrics-server", groups=(ADMIN_GROUP,)))


async def register(client: Client) -> None:
    """The APIService, and who may read: those who may view. Left alone where they exist."""
    from tiphys.api.errors import AlreadyExists
    from tiphys.api.kind import new
    from tiphys.api.kinds import APISERVICE, CLUSTERROLE
    from tiphys.api.kinds.apiregistration.apiservice import APIServiceSpec, ServiceReference
    from tiphys.api.kinds.rbac.types import PolicyRule

    namespace, name = SERVICE
    service = new(
        APISERVICE,
        "v1beta1.metrics.k8s.io",
        spec=APIServiceSpec(
            group="metrics.k8s.io",
            version="v1beta1",
            service=ServiceReference(namespace=namespace, name=name, port=443),
            insecure_skip_tls_verify=True,
            group_priority_minimum=_GROUP_PRIORITY,
            version_priority=_VERSION_PRIORITY,
        ),
    )
    role = new(CLUSTERROLE, "system:aggregated-metrics-reader")
    role.metadata.labels = {
        f"rbac.authorization.k8s.io/aggregate-to-{who}": "true" for who in ("view", "edit", "admin")
    }
    role.rules = [
        PolicyRule(api_groups=["metrics.k8s.io"], resources=["pods", "nodes"], verbs=["get", "list", "watch"])
    ]
    for kind, obj in ((APISERVICE, service), (CLUSTERROLE, role)):
        try:
            await client.create(kind, obj)
        except AlreadyExists:
            continue
