"""The bodies that travel between scheduler and extender.

Extenders written in Go answer with keys in any case; they are read so that the case does not matter.
Source: staging/src/k8s.io/kube-scheduler/extender/v1/types.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tiphys.api.kinds.core.node import Node
from tiphys.api.kinds.core.pod.schema import Pod


class FilterResult(msgspec.Struct):
    """`nodenames` or `nodes`: what is left. The others: why not."""

    nodes: Any = None
    nodenames: list[str] | None = None
    failednodes: dict[str, str] | None = None
    failedandunresolvablenodes: dict[str, str] | None = None
    error: str = ""

    def left(self) -> list[str] | None:
        """Names of the nodes that are left; None when it did not say."""
        if self.nodenames is not None:
            return self.nodenames
        if isinstance(self.nodes, Mapping):
            items = self.nodes.get("items") or []
            return [str(item.get("metadata", {}).get("name", "")) for item in items]
        return None


class HostPriority(msgspec.Struct):
    host: str
    score: int = 0


class MetaPod(msgspec.Struct):
    uid: str = ""


class MetaVictims(msgspec.Struct):
    pods: list[MetaPod] | None = None
    numpdbviolations: int = 0


class PreemptionResult(msgspec.Struct):
    nodenametometavictims: dict[str, MetaVictims] | None = None


class BindingResult(msgspec.Struct):
    error: str = ""


def arguments(pod: Pod, names: Sequence[str] | None, nodes: Iterable[Node] | None) -> dict[str, Any]:
    """Of `filter` and `prioritize`."""
    listed = None if nodes is None else {"metadata": {}, "items": list(nodes)}
    return {"Pod": pod, "Nodes": listed, "NodeNames": None if names is None else list(names)}


def filter_result(body: bytes) -> FilterResult:
    """These four raise ValueError when the body is not what it should be."""
    return msgspec.convert(_lowered(msgspec.json.decode(body)), FilterResult)


def priorities(body: bytes) -> list[HostPriority]:
    found = msgspec.json.decode(body) or []
    return msgspec.convert([_lowered(item) for item in found], list[HostPriority])


def preemption_result(body: bytes) -> PreemptionResult:
    found = _lowered(msgspec.json.decode(body))
    by_node = found.get("nodenametometavictims") or {}
    found["nodenametometavictims"] = {name: _victims(victims) for name, victims in by_node.items()}
    return msgspec.convert(found, PreemptionResult)


def binding_result(body: bytes) -> BindingResult:
    return msgspec.convert(_lowered(msgspec.json.decode(body)), BindingResult)


def _victims(stated: Any) -> Any:
    found = _lowered(stated)
    return found | {"pods": [_lowered(pod) for pod in found.get("pods") or []]}


def _lowered(value: Any) -> dict[str, Any]:
    """An object with its own keys in lower case; null counts as empty."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError("an object was expected")
    return {key.lower(): item for key, item in value.items() if item is not None}
