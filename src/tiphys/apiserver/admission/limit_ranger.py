"""LimitRanger: containers get the namespace's default requests and limits; what is out of its bounds is refused.

Source: plugin/pkg/admission/limitranger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import LIMITRANGE, PERSISTENTVOLUMECLAIM, POD
from tiphys.api.kinds.core.pod import facts
from tiphys.api.quota.amounts import read, write
from tiphys.apiserver.admission.by_namespace import ByNamespace
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest
from tiphys.base import quantity

ANNOTATION = "kubernetes.io/limit-ranger"
Texts = Mapping[str, str]
"""Resource name to quantity."""


class LimitRanger(Plugin):
    name = "LimitRanger"

    def __init__(self, caches: Caches) -> None:
        self._ranges = ByNamespace(caches.cache_of(LIMITRANGE))

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        if kind is POD:
            # What a pod's containers ask for changes by a resize alone.
            return (operation == "CREATE" and not subresource) or (operation == "UPDATE" and subresource == "resize")
        return kind is PERSISTENTVOLUMECLAIM and operation in ("CREATE", "UPDATE") and not subresource

    async def admit(self, request: AdmissionRequest) -> None:
        if request.kind is not POD or _is_leaving(request):
            return
        for found in self._ranges.objects(request.namespace):
            set_defaults(request.obj, found.spec.limits)

    async def validate(self, request: AdmissionRequest) -> None:
        if _is_leaving(request):
            return
        check = pod_complaints if request.kind is POD else claim_complaints
        for found in self._ranges.objects(request.namespace):
            complaints = list(dict.fromkeys(check(request.obj, found.spec.limits)))
            if complaints:
                text = complaints[0] if len(complaints) == 1 else f"[{', '.join(complaints)}]"
                raise refuse(request, text)


def _is_leaving(request: AdmissionRequest) -> bool:
    return request.old is not None and request.old.metadata.deletion_timestamp is not None


def set_defaults(pod: Any, limits: list[Any]) -> None:
    """Fill in what containers do not state, and note in an annotation what was filled in."""
    requests: dict[str, Any] = {}
    maxima: dict[str, Any] = {}
    for item in limits:
        if item.type == "Container":
            requests.update(item.default_request)
            maxima.update(item.default)
    notes: list[str] = []
    for what, containers in (("container", pod.spec.containers), ("init container", pod.spec.init_containers)):
        for container in containers:
            for stated, defaults, word in (
                (container.resources.requests, requests, "request"),
                (container.resources.limits, maxima, "limit"),
            ):
                missing = sorted(name for name in defaults if name not in stated)
                for name in missing:
                    stated[name] = defaults[name]
                if missing:
                    notes.append(f"{', '.join(missing)} {word} for {what} {container.name}")
    if notes:
        pod.metadata.annotations[ANNOTATION] = "LimitRanger plugin set: " + "; ".join(notes)


def pod_complaints(pod: Any, limits: list[Any]) -> Iterator[str]:
    """What is out of bounds, in upstream's words."""
    for item in limits:
        if item.type == "Container":
            for container in (*pod.spec.containers, *pod.spec.init_containers):
                yield from _bounds(item, container.resources.requests, container.resources.limits)
        elif item.type == "Pod":
            requests = _whole(pod, "requests")
            yield from _bounds(item, requests, _whole(pod, "limits"))


def claim_complaints(claim: Any, limits: list[Any]) -> Iterator[str]:
    requests = claim.spec.resources.requests if claim.spec.resources is not None else {}
    for item in limits:
        if item.type != "PersistentVolumeClaim":
            continue
        for name in sorted(item.min):
            yield from _minimum(item.type, name, item.min[name], requests, {})
        for name in sorted(item.max):
            bound, asked = item.max[name], requests.get(name)
            lead = f"maximum {name} usage per {item.type} is {bound}"
            if asked is None:
                yield f"{lead}.  No request is specified"
            elif quantity.parse(asked) > quantity.parse(bound):
                yield f"{lead}, but request is {asked}"


def _whole(pod: Any, attribute: str) -> dict[str, str]:
    """What the pod asks for as a whole, without its runtime's overhead."""
    total = facts.aggregate(pod.spec, attribute)
    texts: dict[str, str] = {name: write(name, number) for name, number in total.items()}
    if pod.spec.resources is not None:
        own = getattr(pod.spec.resources, attribute)
        texts.update({name: own[name] for name in ("cpu", "memory") if name in own})
    return texts


def _bounds(item: Any, requests: Texts, limits: Texts) -> Iterator[str]:
    checks: tuple[tuple[Texts, Callable[[str, str, str, Texts, Texts], Iterator[str]]], ...] = (
        (item.min, _minimum), (item.max, _maximum), (item.max_limit_request_ratio, _ratio),
    )  # fmt: skip
    for bounds, check in checks:
        for name in sorted(bounds):
            yield from check(item.type, name, bounds[name], requests, limits)


def _minimum(type_: str, name: str, bound: str, requests: Texts, limits: Texts) -> Iterator[str]:
    lead = f"minimum {name} usage per {type_} is {bound}"
    asked, most = requests.get(name), limits.get(name)
    if asked is None:
        yield f"{lead}.  No request is specified"
    elif quantity.parse(asked) < quantity.parse(bound):
        yield f"{lead}, but request is {asked}"
    elif most is not None and quantity.parse(most) < quantity.parse(bound):
        yield f"{lead}, but limit is {most}"


def _maximum(type_: str, name: str, bound: str, requests: Texts, limits: Texts) -> Iterator[str]:
    lead = f"maximum {name} usage per {type_} is {bound}"
    asked, most = requests.get(name), limits.get(name)
    if most is None:
        yield f"{lead}.  No limit is specified"
    elif quantity.parse(most) > quantity.parse(bound):
        yield f"{lead}, but limit is {most}"
    elif asked is not None and quantity.parse(asked) > quantity.parse(bound):
        yield f"{lead}, but request is {asked}"


def _ratio(type_: str, name: str, bound: str, requests: Texts, limits: Texts) -> Iterator[str]:
    lead = f"{name} max limit to request ratio per {type_} is {bound}"
    asked, most = requests.get(name), limits.get(name)
    if asked is None or read(name, asked) == 0:
        yield f"{lead}, but no request is specified or request is 0"
    elif most is None or read(name, most) == 0:
        yield f"{lead}, but no limit is specified or limit is 0"
    elif quantity.parse(most) / quantity.parse(asked) > quantity.parse(bound):
        yield f"{lead}, but provided ratio is {float(quantity.parse(most) / quantity.parse(asked)):f}"
