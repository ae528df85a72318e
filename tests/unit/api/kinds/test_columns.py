"""What `kubectl get` shows of pods, nodes, services and events."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tiphys.api import codec
from tiphys.api.kind import Kind
from tiphys.api.kinds import DEPLOYMENT, ENDPOINTS, ENDPOINTSLICE, EVENT, NODE, POD, SERVICE
from tiphys.api.kinds.core.pod.columns import status_text
from tiphys.api.kinds.core.pod.schema import Pod

NOW = datetime(2026, 1, 2, 3, 10, 5, tzinfo=UTC)
FIVE_MINUTES_AGO = "2026-01-02T03:05:05Z"


def cells(kind: Kind[Any], **body: Any) -> dict[str, object]:
    obj = codec.from_json(kind.schema, {"metadata": {"name": "x"}, **body})
    return {c.name: c.cell_at(obj, NOW) if c.cell_at else c.cell(obj) for c in kind.columns}


def pod(status: dict[str, Any], spec: dict[str, Any] | None = None, **meta: Any) -> Pod:
    spec = {"containers": [{"name": "a"}, {"name": "b"}], **(spec or {})}
    made: Pod = codec.from_json(Pod, {"metadata": meta, "spec": spec, "status": status})
    return made


def container(name: str = "a", ready: bool = False, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


RUNNING = {"running": {}}
READY = [{"type": "Ready", "status": "True"}]
INITIALIZED = [{"type": "Initialized", "status": "True"}]


@pytest.mark.parametrize(
    ("shown", "made"),
    [
        ("Pending", pod({"phase": "Pending"})),
        ("Evicted", pod({"phase": "Failed", "reason": "Evicted"})),
        ("Running", pod({"phase": "Running", "containerStatuses": [container(ready=True, **RUNNING)]})),
        (
            "CrashLoopBackOff",
            pod({"phase": "Running", "containerStatuses": [container(waiting={"reason": "CrashLoopBackOff"})]}),
        ),
        ("Error", pod({"containerStatuses": [container(terminated={"exitCode": 1, "reason": "Error"})]})),
        ("ExitCode:3", pod({"containerStatuses": [container(terminated={"exitCode": 3})]})),
        ("Signal:9", pod({"containerStatuses": [container(terminated={"exitCode": 137, "signal": 9})]})),
        (
            "NotReady",
            pod(
                {
                    "containerStatuses": [
                        container("a", terminated={"exitCode": 0, "reason": "Completed"}),
                        container("b", True, **RUNNING),
                    ]
                }
            ),
        ),
        (
            "Running",
            pod(
                {
                    "conditions": READY,
                    "containerStatuses": [
                        container("a", terminated={"exitCode": 0, "reason": "Completed"}),
                        container("b", True, **RUNNING),
                    ],
                }
            ),
        ),
        (
            "Init:0/1",
            pod({"initContainerStatuses": [container("i", **RUNNING)]}, {"initContainers": [{"name": "i"}]}),
        ),
        (
            "Init:ErrImagePull",
            pod(
                {"initContainerStatuses": [container("i", waiting={"reason": "ErrImagePull"})]},
                {"initContainers": [{"name": "i"}]},
            ),
        ),
        (
            "Init:Error",
            pod(
                {"initContainerStatuses": [container("i", terminated={"exitCode": 1, "reason": "Error"})]},
                {"initContainers": [{"name": "i"}]},
            ),
        ),
        (
            "SchedulingGated",
            pod(
                {
                    "phase": "Pending",
                    "conditions": [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
                }
            ),
        ),
        ("Terminating", pod({"phase": "Running"}, deletionTimestamp=FIVE_MINUTES_AGO)),
        ("Succeeded", pod({"phase": "Succeeded"}, deletionTimestamp=FIVE_MINUTES_AGO)),
        ("Unknown", pod({"phase": "Running", "reason": "NodeLost"}, deletionTimestamp=FIVE_MINUTES_AGO)),
    ],
)
def test_pod_status(shown: str, made: Pod) -> None:
    assert status_text(made) == shown


def test_pod_row() -> None:
    restarted = container("a", True, 2, **RUNNING) | {
        "lastState": {"terminated": {"exitCode": 1, "finishedAt": FIVE_MINUTES_AGO}}
    }
    row = cells(
        POD,
        spec={
            "containers": [{"name": "a"}, {"name": "b"}],
            "nodeName": "n",
            "readinessGates": [{"conditionType": "lb"}, {"conditionType": "dns"}],
        },
        status={
            "phase": "Running",
            "podIPs": [{"ip": "10.244.0.5"}],
            "conditions": [{"type": "lb", "status": "True"}],
            "containerStatuses": [restarted, container("b", **RUNNING)],
        },
    )
    assert row == {
        "Name": "x",
        "Ready": "1/2",
        "Status": "Running",
        "Restarts": "2 (5m ago)",
        "Age": "",
        "IP": "10.244.0.5",
        "Node": "n",
        "Nominated Node": "<none>",
        "Readiness Gates": "1/2",
    }


def test_a_sidecar_counts_as_a_container() -> None:
    sidecar = {"name": "s", "restartPolicy": "Always"}
    status = container("s", True, 1, **RUNNING) | {"started": True}
    row = cells(
        POD,
        spec={"containers": [{"name": "a"}], "initContainers": [sidecar]},
        status={
            "phase": "Running",
            "initContainerStatuses": [status],
            "containerStatuses": [container("a", True, **RUNNING)],
            "conditions": INITIALIZED,
        },
    )
    assert (row["Ready"], row["Restarts"], row["Status"]) == ("2/2", "1", "Running")


def test_node_row() -> None:
    row = cells(
        NODE,
        metadata={"name": "n", "labels": {"node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "edge"}},
        spec={"unschedulable": True},
        status={
            "conditions": [{"type": "Ready", "status": "Unknown"}],
            "addresses": [{"type": "InternalIP", "address": "10.0.0.1"}],
            "nodeInfo": {"kernelVersion": "6.1", "architecture": "amd64", "kubeletVersion": "v1.36.2"},
        },
    )
    assert row == {
        "Name": "n",
        "Status": "NotReady,SchedulingDisabled",
        "Roles": "control-plane,edge",
        "Age": "",
        "Version": "v1.36.2",
        "Internal-IP": "10.0.0.1",
        "External-IP": "<none>",
        "OS-Image": "<unknown>",
        "Kernel-Version": "6.1 (amd64)",
        "Container-Runtime": "<unknown>",
    }


@pytest.mark.parametrize(
    ("spec", "external"),
    [
        ({"type": "ClusterIP"}, "<none>"),
        ({"type": "NodePort", "externalIPs": ["1.2.3.4", "1.2.3.5"]}, "1.2.3.4,1.2.3.5"),
        ({"type": "LoadBalancer"}, "<pending>"),
        ({"type": "ExternalName", "externalName": "example.com"}, "example.com"),
    ],
)
def test_service_external_ip(spec: dict[str, Any], external: str) -> None:
    assert cells(SERVICE, spec=spec)["External-IP"] == external


def test_service_ports() -> None:
    ports = [{"port": 80, "protocol": "TCP", "nodePort": 30080}, {"port": 53, "protocol": "UDP"}]
    assert cells(SERVICE, spec={"ports": ports})["Port(s)"] == "80:30080/TCP,53/UDP"


def test_deployment_ready() -> None:
    assert cells(DEPLOYMENT, spec={"replicas": 3}, status={"readyReplicas": 2})["Ready"] == "2/3"


def test_event_row() -> None:
    row = cells(
        EVENT,
        involvedObject={"kind": "Pod", "name": "web"},
        reason="Killing",
        type="Normal",
        message=" Stopping container ",
        lastTimestamp=FIVE_MINUTES_AGO,
        firstTimestamp="2026-01-02T00:10:05Z",
        source={"component": "kubelet", "host": "n"},
    )
    assert (row["Last Seen"], row["First Seen"], row["Count"]) == ("5m", "3h", 1)
    assert (row["Object"], row["Message"], row["Source"]) == ("pod/web", "Stopping container", "kubelet, n")


def test_endpoints_are_cut_after_three() -> None:
    addresses = [{"ip": f"10.0.0.{n}"} for n in range(1, 6)]
    row = cells(ENDPOINTS, subsets=[{"addresses": addresses, "ports": [{"port": 80}]}])
    assert row["Endpoints"] == "10.0.0.1:80,10.0.0.2:80,10.0.0.3:80 + 2 more..."
    endpoints = [{"addresses": [address["ip"]]} for address in addresses]
    row = cells(ENDPOINTSLICE, endpoints=endpoints, ports=[])
    assert (row["Endpoints"], row["Ports"]) == ("10.0.0.1,10.0.0.2,10.0.0.3 + 2 more...", "<unset>")
