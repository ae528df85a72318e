"""InterPodAffinity, pod by pod, after upstream's text."""

from __future__ import annotations

from collections.abc import Iterator

from tests.property.scheduler.reference.world import World

from tiphys.api.kinds.core.node import Node
from tiphys.scheduler.plugin import SCORE_MAX
from tiphys.scheduler.pods import PodRecord
from tiphys.scheduler.terms import Term


def _everyone(world: World) -> Iterator[tuple[Node, PodRecord]]:
    for node in world.nodes:
        for pod in world.on[node.metadata.name]:
            yield node, pod


def _matches(world: World, term: Term, pod: PodRecord) -> bool:
    labels = world.namespaces.get(pod.namespace, {})
    inside = pod.namespace in term.namespaces or term.namespace_selector.matches(labels)
    return inside and term.selector.matches(pod.labels)


def _together(term: Term, one: Node, other: Node) -> bool:
    key = term.key
    return key in one.metadata.labels and one.metadata.labels[key] == other.metadata.labels.get(key)


def _affine(world: World, node: Node) -> bool:
    terms = world.pod.shape.terms.affinity
    if any(term.key not in node.metadata.labels for term in terms):
        return False
    found = [there for there, pod in _everyone(world) if all(_matches(world, term, pod) for term in terms)]
    if all(any(_together(term, node, there) for there in found) for term in terms):
        return True
    nobody = not any(term.key in there.metadata.labels for there in found for term in terms)
    return nobody and all(_matches(world, term, world.pod) for term in terms)


def passes(world: World, node: Node) -> bool:
    if world.pod.shape.terms.affinity and not _affine(world, node):
        return False
    for there, pod in _everyone(world):
        if any(_matches(world, t, pod) and _together(t, node, there) for t in world.pod.shape.terms.anti):
            return False
        if any(_matches(world, t, world.pod) and _together(t, node, there) for t in pod.shape.terms.anti):
            return False
    return True


def score(world: World, feasible: list[bool], hard_weight: int) -> list[int]:
    raw = []
    for node in world.nodes:
        total = 0
        for there, pod in _everyone(world):
            mine = [(w, t) for w, t in world.pod.shape.terms.liked if _matches(world, t, pod)]
            theirs = [(w, t) for w, t in pod.shape.terms.liked if _matches(world, t, world.pod)]
            theirs += [(hard_weight, t) for t in pod.shape.terms.affinity if _matches(world, t, world.pod)]
            total += sum(weight for weight, term in mine + theirs if _together(term, node, there))
        raw.append(total)
    known = [r for r, ok in zip(raw, feasible, strict=True) if ok]
    low, high = min(known, default=0), max(known, default=0)
    return [int(SCORE_MAX * ((r - low) / (high - low))) if high > low else 0 for r in raw]
