"""Finds devices for claims on one node: the first way that meets all requests and constraints.

Requests are met one after another, with a way back when a later one cannot be met. Devices of one pool may draw on
shared counters. Devices that may be given several times over (consumable capacity) are given once.

Source: staging/src/k8s.io/dynamic-resource-allocation/structured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tiphys.api.kinds.core.pod.facts import amount
from tiphys.api.kinds.core.references import NodeSelector, NodeSelectorRequirement, NodeSelectorTerm
from tiphys.api.kinds.resource.resourceclaim import (
    AllocationResult,
    DeviceAllocationConfiguration,
    DeviceAllocationResult,
    DeviceRequestAllocationResult,
    ResourceClaim,
)
from tiphys.api.kinds.resource.resourceslice import Device
from tiphys.api.kinds.resource.types import DeviceConstraint, DeviceSelector, DeviceTaint, DeviceToleration
from tiphys.scheduler.devices.index import DeviceId, DeviceIndex, Offer
from tiphys.scheduler.devices.selectors import matches, qualified, value_of, variables
from tiphys.scheduler.nodematch import NAME_FIELD, term_matches

RESULTS_MAX = 32
"""Devices that one claim may be given (AllocationResultsMaxSize)."""
STEPS_MAX = 10_000
"""How many devices are tried for one node before it is given up."""


class NotPossible(ValueError):
    """The claim can be met on no node at all: what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One request, or one alternative of it."""

    claim: int
    name: str
    """`request` or `request/alternative`."""
    parent: str
    device_class: str
    selectors: tuple[DeviceSelector, ...]
    count: int
    """0: all that match."""
    admin: bool
    tolerations: tuple[DeviceToleration, ...]


@dataclass(slots=True)
class _Search:
    taken: set[DeviceId]
    steps: int = 0
    chosen: list[tuple[Ask, Offer]] = field(default_factory=list)


class Allocator:
    """For one state of the index."""

    def __init__(self, index: DeviceIndex, claims: Sequence[ResourceClaim]) -> None:
        self._index, self._claims = index, claims
        self._taken = index.taken()
        self._pools = list(index.pools())
        self._seen: dict[DeviceId, Mapping[str, Any]] = {}

    def on(self, node: str, labels: Mapping[str, str]) -> list[AllocationResult] | None:
        """Allocations for the claims, in their order, on this node; None where it lacks devices. Raises NotPossible."""
        offers = [offer for offer in self._offers() if reachable(offer, node, labels)]
        asks = [list(self._asks(number, claim)) for number, claim in enumerate(self._claims)]
        requests = [alternatives for of_claim in asks for alternatives in of_claim]
        search = _Search(set(self._taken))
        if not self._meet(requests, 0, offers, search):
            return None
        return [self._result(number, claim, search, node) for number, claim in enumerate(self._claims)]

    def _offers(self) -> Iterator[Offer]:
        for slices in self._pools:
            for one in slices:
                for device in one.spec.devices:
                    yield Offer(device, one)

    def _asks(self, number: int, claim: ResourceClaim) -> Iterator[list[Ask]]:
        for request in claim.spec.devices.requests:
            if request.exactly is not None:
                yield [self._ask(number, request.name, request.name, request.exactly)]
            else:
                yield [self._ask(number, f"{request.name}/{s.name}", request.name, s) for s in request.first_available]

    def _ask(self, number: int, name: str, parent: str, stated: Any) -> Ask:
        found = self._index.classes.get(stated.device_class_name)
        if found is None:
            raise NotPossible(f"request {name}: device class {stated.device_class_name} does not exist")
        return Ask(
            claim=number,
            name=name,
            parent=parent,
            device_class=stated.device_class_name,
            selectors=(*found.spec.selectors, *stated.selectors),
            count=0 if stated.allocation_mode == "All" else stated.count or 1,
            admin=bool(getattr(stated, "admin_access", None)),
            tolerations=tuple(stated.tolerations),
        )

    # Search

    def _meet(self, requests: Sequence[Sequence[Ask]], at: int, offers: Sequence[Offer], search: _Search) -> bool:
        if at == len(requests):
            return True
        for ask in requests[at]:
            fitting = [offer for offer in offers if self._fits(ask, offer)]
            before = len(search.chosen)
            if ask.count:
                if self._pick(ask, fitting, ask.count, requests, at, offers, search):
                    return True
            elif fitting and self._take_all(ask, fitting, search) and self._meet(requests, at + 1, offers, search):
                return True
            self._put_back(search, before)
        return False

    def _pick(
        self,
        ask: Ask,
        fitting: Sequence[Offer],
        left: int,
        requests: Sequence[Sequence[Ask]],
        at: int,
        offers: Sequence[Offer],
        search: _Search,
    ) -> bool:
        if not left:
            return self._meet(requests, at + 1, offers, search)
        for number, offer in enumerate(fitting):
            if not self._take(ask, offer, search):
                continue
            if self._pick(ask, fitting[number + 1 :], left - 1, requests, at, offers, search):
                return True
            self._put_back(search, len(search.chosen) - 1)
        return False

    def _take_all(self, ask: Ask, fitting: Sequence[Offer], search: _Search) -> bool:
        return all(self._take(ask, offer, search) for offer in fitting)

    def _take(self, ask: Ask, offer: Offer, search: _Search) -> bool:
        search.steps += 1
        if search.steps > STEPS_MAX or len(search.chosen) >= RESULTS_MAX * len(self._claims):
            return False
        if not ask.admin and (offer.id in search.taken or not self._counters_allow(offer, search)):
            return False
        search.chosen.append((ask, offer))
        if not self._constraints_hold(ask, search):
            search.chosen.pop()
            return False
        if not ask.admin:
            search.taken.add(offer.id)
        return True

    def _put_back(self, search: _Search, length: int) -> None:
        while len(search.chosen) > length:
            ask, offer = search.chosen.pop()
            if not ask.admin:
                search.taken.discard(offer.id)

    def _fits(self, ask: Ask, offer: Offer) -> bool:
        if any(not _tolerated(taint, ask.tolerations) for taint in offer.device.taints):
            return False
        seen = self._seen.get(offer.id)
        if seen is None:
            seen = self._seen[offer.id] = variables(offer.device, offer.slice.spec.driver)
        try:
            return matches(ask.selectors, seen)
        except ValueError as error:
            raise NotPossible(f"request {ask.name}: device class {ask.device_class}: {error}") from None

    def _constraints_hold(self, last: Ask, search: _Search) -> bool:
        for constraint in self._claims[last.claim].spec.devices.constraints:
            chosen = [o for a, o in search.chosen if a.claim == last.claim and _concerns(constraint, a)]
            if constraint.match_attribute:
                values = [_attribute(offer, constraint.match_attribute) for offer in chosen]
                if any(value is None or value != values[0] for value in values):
                    return False
            if constraint.distinct_attribute:
                values = [_attribute(offer, constraint.distinct_attribute) for offer in chosen]
                if any(value is None or values.count(value) > 1 for value in values):
                    return False
        return True

    def _counters_allow(self, offer: Offer, search: _Search) -> bool:
        """Whether the pool's shared counters have enough left for the device."""
        if not offer.device.consumes_counters:
            return True
        slices = next(p for p in self._pools if any(one is offer.slice for one in p))
        left = {
            (counters.name, name): amount("counter", counter.value)
            for one in slices
            for counters in one.spec.shared_counters
            for name, counter in counters.counters.items()
        }
        spec = offer.slice.spec
        for one in slices:
            for device in one.spec.devices:
                if DeviceId(spec.driver, spec.pool.name, device.name) in search.taken:
                    _draw(left, device)
        _draw(left, offer.device)
        return all(value >= 0 for value in left.values())

    # Result

    def _result(self, number: int, claim: ResourceClaim, search: _Search, node: str) -> AllocationResult:
        chosen = [(ask, offer) for ask, offer in search.chosen if ask.claim == number]
        results = [
            DeviceRequestAllocationResult(
                request=ask.name,
                driver=offer.id.driver,
                pool=offer.id.pool,
                device=offer.id.name,
                admin_access=True if ask.admin else None,
                tolerations=list(ask.tolerations),
                binding_conditions=list(offer.device.binding_conditions),
                binding_failure_conditions=list(offer.device.binding_failure_conditions),
            )
            for ask, offer in chosen
        ]
        return AllocationResult(
            devices=DeviceAllocationResult(results=results, config=list(self._config(claim, chosen))),
            node_selector=_selector(chosen, node),
        )

    def _config(
        self, claim: ResourceClaim, chosen: Sequence[tuple[Ask, Offer]]
    ) -> Iterator[DeviceAllocationConfiguration]:
        names = {ask.name: ask for ask, _ in chosen}
        for name, ask in names.items():
            for config in self._index.classes[ask.device_class].spec.config:
                yield DeviceAllocationConfiguration(source="FromClass", requests=[name], opaque=config.opaque)
        for stated in claim.spec.devices.config:
            known = {*names, *(ask.parent for ask in names.values())}
            if not stated.requests or known.intersection(stated.requests):
                yield DeviceAllocationConfiguration(
                    source="FromClaim", requests=list(stated.requests), opaque=stated.opaque
                )


def reachable(offer: Offer, node: str, labels: Mapping[str, str]) -> bool:
    """Whether the device can be used on the node."""
    source: Any = offer.device if offer.slice.spec.per_device_node_selection else offer.slice.spec
    if source.all_nodes:
        return True
    if source.node_name:
        return bool(source.node_name == node)
    return source.node_selector is not None and selects(source.node_selector, node, labels)


def selects(selector: NodeSelector, node: str, labels: Mapping[str, str]) -> bool:
    return any(term_matches(term, node, labels) for term in selector.node_selector_terms)


def _draw(left: dict[tuple[str, str], int], device: Device) -> None:
    for consumption in device.consumes_counters:
        for name, counter in consumption.counters.items():
            key = (consumption.counter_set, name)
            left[key] = left.get(key, 0) - amount("counter", counter.value)


def _concerns(constraint: DeviceConstraint, ask: Ask) -> bool:
    return not constraint.requests or ask.name in constraint.requests or ask.parent in constraint.requests


def _attribute(offer: Offer, name: str) -> Any:
    wanted = qualified(name, "")
    for key, attribute in offer.device.attributes.items():
        if qualified(key, offer.slice.spec.driver) == wanted:
            return value_of(attribute)
    return None


def _tolerated(taint: DeviceTaint, tolerations: Sequence[DeviceToleration]) -> bool:
    if taint.effect not in ("NoSchedule", "NoExecute"):
        return True
    return any(
        (not t.effect or t.effect == taint.effect)
        and (not t.key or t.key == taint.key)
        and (t.operator == "Exists" or t.value == taint.value)
        for t in tolerations
    )


def _selector(chosen: Sequence[tuple[Ask, Offer]], node: str) -> NodeSelector | None:
    """Where the devices can be used: on the node, where one of them is the node's own; else where all are reached."""
    terms: list[NodeSelectorRequirement] = []
    for _, offer in chosen:
        source: Any = offer.device if offer.slice.spec.per_device_node_selection else offer.slice.spec
        if source.node_name:
            here = NodeSelectorRequirement(key=NAME_FIELD, operator="In", values=[node])
            return NodeSelector(node_selector_terms=[NodeSelectorTerm(match_fields=[here])])
        if source.node_selector is not None:
            for term in source.node_selector.node_selector_terms[:1]:
                terms += [requirement for requirement in term.match_expressions if requirement not in terms]
    return NodeSelector(node_selector_terms=[NodeSelectorTerm(match_expressions=terms)]) if terms else None
