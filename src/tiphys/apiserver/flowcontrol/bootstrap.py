"""The flow schemas and priority levels that an empty cluster begins with.

Source: staging/src/k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap/default.go (names and numbers are facts of the API).
"""

from __future__ import annotations

from tiphys.api.kinds.flowcontrol import flowschema as f
from tiphys.api.kinds.flowcontrol import prioritylevelconfiguration as p
from tiphys.api.kinds.flowcontrol.mandatory import EVERY_PATH, EVERYTHING, groups, schema

AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"
_EVERYBODY = ("system:unauthenticated", "system:authenticated")
_LEVELS: tuple[tuple[str, int, int, int, int], ...] = (
    ("system", 30, 33, 64, 6),
    ("node-high", 40, 25, 64, 6),
    ("leader-election", 10, 0, 16, 4),
    ("workload-high", 40, 50, 128, 6),
    ("workload-low", 100, 90, 128, 6),
    ("global-default", 20, 50, 128, 6),
)
"""(name, shares, percent it lends, queues, queues per flow)"""


def suggested_levels() -> dict[str, p.PriorityLevelConfigurationSpec]:
    return {
        name: p.PriorityLevelConfigurationSpec(
            type="Limited",
            limited=p.LimitedPriorityLevelConfiguration(
                nominal_concurrency_shares=shares, lendable_percent=lendable,
                limit_response=p.LimitResponse(
                    type="Queue",
                    queuing=p.QueuingConfiguration(queues=queues, hand_size=hand, queue_length_limit=50),
                ),
            ),
        )
        for name, shares, lendable, queues, hand in _LEVELS
    }  # fmt: skip


def _users(*names: str) -> list[f.Subject]:
    return [f.Subject(kind="User", user=f.UserSubject(name=name)) for name in names]


def _resources(verbs: list[str], group: str, resources: list[str], *, cluster: bool) -> f.ResourcePolicyRule:
    return f.ResourcePolicyRule(
        verbs=verbs, api_groups=[group], resources=resources, namespaces=["*"], cluster_scope=cluster
    )


def suggested_schemas() -> dict[str, f.FlowSchemaSpec]:
    system_accounts = [
        f.Subject(kind="ServiceAccount", service_account=f.ServiceAccountSubject(namespace="kube-system", name="*"))
    ]
    manager, scheduler = "system:kube-controller-manager", "system:kube-scheduler"
    probes = f.NonResourcePolicyRule(verbs=["get"], non_resource_ur_ls=["/healthz", "/readyz", "/livez"])
    leases = "coordination.k8s.io"
    all_of, paths = [EVERYTHING], [EVERY_PATH]
    return {
        "probes": schema("exempt", 2, "", groups(*_EVERYBODY), [], [probes]),
        "system-leader-election": schema(
            "leader-election", 100, "ByUser", [*_users(manager, scheduler), *system_accounts],
            [_resources(["get", "create", "update"], leases, ["leases"], cluster=False)], [],
        ),
        "system-node-high": schema(
            "node-high", 400, "ByUser", groups("system:nodes"),
            [_resources(["*"], "", ["nodes", "nodes/status"], cluster=True),
             _resources(["*"], leases, ["leases"], cluster=False)], [],
        ),
        "system-nodes": schema("system", 500, "ByUser", groups("system:nodes"), all_of, paths),
        "kube-controller-manager": schema("workload-high", 800, "ByNamespace", _users(manager), all_of, paths),
        "kube-scheduler": schema("workload-high", 800, "ByNamespace", _users(scheduler), all_of, paths),
        "kube-system-service-accounts": schema("workload-high", 900, "ByNamespace", system_accounts, all_of, paths),
        "service-accounts": schema("workload-low", 9000, "ByUser", groups("system:serviceaccounts"), all_of, paths),
        "global-default": schema("global-default", 9900, "ByUser", groups(*_EVERYBODY), all_of, paths),
    }  # fmt: skip
