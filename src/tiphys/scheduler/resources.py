"""The resources that nodes count, and what scoring assumes of pods that state nothing.

What a pod requests is computed in one place for everyone: `api/kinds/core/pod/facts.py`.
Source: pkg/scheduler/util/pod_resources.go, pkg/apis/core/v1/helper/helpers.go.
"""

from __future__ import annotations

from collections.abc import Mapping

CPU, MEMORY, EPHEMERAL, PODS = "cpu", "memory", "ephemeral-storage", "pods"
NATIVE = (CPU, MEMORY, EPHEMERAL)

UNSTATED: Mapping[str, int] = {CPU: 100, MEMORY: 200 * 1024 * 1024}
"""What scoring assumes of a container that states no request (milli-cpu, bytes), so that pods without requests do
not all look free and land on one node."""


def is_scalar(resource: str) -> bool:
    """Whether nodes count this resource beyond the three native ones: extended, hugepages and attachable volumes."""
    return "/" in resource or resource.startswith(("hugepages-", "attachable-volumes-"))


def is_extended(resource: str) -> bool:
    """Counted by nodes, and not Kubernetes' own."""
    return "/" in resource and "kubernetes.io/" not in resource and not resource.startswith("requests.")


def is_counted(resource: str) -> bool:
    return resource in NATIVE or is_scalar(resource)
