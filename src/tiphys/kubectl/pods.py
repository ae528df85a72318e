"""The pods that words such as `web-1`, `pod/web-1` or `deploy/web` mean, and which of their containers.

Source: k8s.io/kubectl pkg/polymorphichelpers (attachablepodforobject.go, helpers.go).
"""

from __future__ import annotations

import sys
import time
from typing import Any

from tiphys.kubectl.command import Context
from tiphys.kubectl.describe.writer import selector_text
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import Target, fetch

Pod = dict[str, Any]
RUNNING_TIMEOUT = Flag(
    "pod-running-timeout", "how long to wait until a pod of TYPE/NAME is there", kind="duration", default=60.0
)
_DEFAULT = "kubectl.kubernetes.io/default-container"
_KINDS_OF_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
_POLL_S = 0.5


def one(context: Context, word: str) -> Pod:
    """The pod that is named, or the best of those behind TYPE/NAME, waited for. Raises UsageError, ServerError."""
    if "/" not in word:
        pod: Pod = context.session.get(f"/api/v1/namespaces/{context.namespace}/pods/{word}")
        return pod
    _, (target,) = context.resources.targets([word])
    if target.type.kind == "Pod":
        return fetch(context.session, target)
    deadline = time.monotonic() + float(context.options.values.get("pod-running-timeout", 0.0))
    while not (pods := behind(context, target)):
        if time.monotonic() > deadline:
            raise UsageError(f"timed out waiting for the condition: no pods of {target.shown}")
        time.sleep(_POLL_S)
    return pods[0]


def behind(context: Context, target: Target) -> list[Pod]:
    """Pods that the object's selector chooses, those that run first. Raises UsageError where it has none."""
    obj = fetch(context.session, target)
    selector = (obj.get("spec") or {}).get("selector") or {}
    if target.type.kind in ("Service", "ReplicationController"):
        selector = {"matchLabels": selector} if selector else {}
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        raise UsageError(f"selector for {target.shown} is not known")
    query = {"labelSelector": selector_text(selector)}
    pods = list(context.session.get(f"/api/v1/namespaces/{target.namespace}/pods", query).get("items") or ())
    pods.sort(key=lambda pod: ((pod.get("status") or {}).get("phase") != "Running", pod["metadata"]["name"]))
    return pods


def containers(pod: Pod) -> list[dict[str, Any]]:
    """Of every sort: those that prepare, those that run, those that were added."""
    return [each for kind in _KINDS_OF_CONTAINERS for each in pod["spec"].get(kind) or ()]


def container(pod: Pod, wanted: str, *, quiet: bool = False) -> str:
    """The wanted one, that of the annotation, or the first; says so where there was a choice. Raises UsageError."""
    running, every = [each["name"] for each in pod["spec"]["containers"]], [each["name"] for each in containers(pod)]
    if wanted:
        if wanted not in every:
            raise UsageError(f"container {wanted} not found in pod {pod['metadata']['name']}")
        return wanted
    annotated = (pod["metadata"].get("annotations") or {}).get(_DEFAULT)
    if annotated in every:
        return str(annotated)
    if len(every) > 1 and not quiet:
        shown = running + [f"{name} (init)" if _is_init(pod, name) else f"{name} (ephem)" for name in every
                           if name not in running]  # fmt: skip
        print(f'Defaulted container "{running[0]}" out of: {", ".join(shown)}', file=sys.stderr)
    return str(running[0])


def _is_init(pod: Pod, name: str) -> bool:
    return any(each["name"] == name for each in pod["spec"].get("initContainers") or ())
