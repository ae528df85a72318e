"""How far a rollout is, in kubectl's words. Source: k8s.io/kubectl pkg/polymorphichelpers/rollout_status.go."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl.flags import UsageError

REVISION = "deployment.kubernetes.io/revision"
Progress = tuple[str, bool, bool]
"""(text, done, failed)"""


def progress(obj: dict[str, Any], revision: int = 0) -> Progress:
    """Of a deployment, daemon set or stateful set; `revision`: only while this one is wanted. Raises UsageError."""
    match obj.get("kind"):
        case "Deployment":
            return _deployment(obj, revision)
        case "DaemonSet":
            return _daemon_set(obj)
        case "StatefulSet":
            return _stateful_set(obj)
    raise UsageError(f"no status viewer has been implemented for {obj.get('kind')}")


def _deployment(obj: dict[str, Any], revision: int) -> Progress:
    name, spec, status = obj["metadata"]["name"], obj["spec"], obj.get("status") or {}
    current = int((obj["metadata"].get("annotations") or {}).get(REVISION, 0))
    if revision and revision != current:
        return f"error: desired revision ({revision}) is different from the running revision ({current})", False, True
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return "Waiting for deployment spec update to be observed...", False, False
    for condition in status.get("conditions") or ():
        if condition["type"] == "Progressing" and condition.get("reason") == "ProgressDeadlineExceeded":
            return f'error: deployment "{name}" exceeded its progress deadline', False, True
    wanted, updated = spec.get("replicas", 1), status.get("updatedReplicas", 0)
    head = f'Waiting for deployment "{name}" rollout to finish: '
    if updated < wanted:
        return f"{head}{updated} out of {wanted} new replicas have been updated...", False, False
    if status.get("replicas", 0) > updated:
        return f"{head}{status['replicas'] - updated} old replicas are pending termination...", False, False
    available = status.get("availableReplicas", 0)
    if available < updated:
        return f"{head}{available} of {updated} updated replicas are available...", False, False
    return f'deployment "{name}" successfully rolled out', True, False


def _daemon_set(obj: dict[str, Any]) -> Progress:
    name, status = obj["metadata"]["name"], obj.get("status") or {}
    _require_rolling(obj)
    if status.get("observedGeneration", 0) < obj["metadata"].get("generation", 0):
        return "Waiting for daemon set spec update to be observed...", False, False
    wanted = status.get("desiredNumberScheduled", 0)
    head = f'Waiting for daemon set "{name}" rollout to finish: '
    updated = status.get("updatedNumberScheduled", 0)
    if updated < wanted:
        return f"{head}{updated} out of {wanted} new pods have been updated...", False, False
    available = status.get("numberAvailable", 0)
    if available < wanted:
        return f"{head}{available} of {wanted} updated pods are available...", False, False
    return f'daemon set "{name}" successfully rolled out', True, False


def _stateful_set(obj: dict[str, Any]) -> Progress:
    spec, status = obj["spec"], obj.get("status") or {}
    _require_rolling(obj)
    if status.get("observedGeneration", 0) < max(1, obj["metadata"].get("generation", 0)):
        return "Waiting for statefulset spec update to be observed...", False, False
    wanted, ready = spec.get("replicas", 1), status.get("readyReplicas", 0)
    if ready < wanted:
        return f"Waiting for {wanted - ready} pods to be ready...", False, False
    updated = status.get("updatedReplicas", 0)
    rolling = (spec.get("updateStrategy") or {}).get("rollingUpdate")
    if rolling and "partition" in rolling:
        expected = wanted - rolling["partition"]
        if updated < expected:
            head = "Waiting for partitioned roll out to finish"
            return f"{head}: {updated} out of {expected} new pods have been updated...", False, False
        return f"partitioned roll out complete: {updated} new pods have been updated...", True, False
    newest, current = status.get("updateRevision", ""), status.get("currentRevision", "")
    if newest != current:
        text = f"waiting for statefulset rolling update to complete {updated} pods at revision {newest}..."
        return text, False, False
    count = status.get("currentReplicas", 0)
    return f"statefulset rolling update complete {count} pods at revision {current}...", True, False


def _require_rolling(obj: dict[str, Any]) -> None:
    if (obj["spec"].get("updateStrategy") or {}).get("type", "RollingUpdate") != "RollingUpdate":
        raise UsageError("rollout status is only available for RollingUpdate strategy type")
