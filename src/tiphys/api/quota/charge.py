"""Whether what a request adds fits the quotas of its namespace, and what is used then.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/resourcequota/controller.go (CheckRequest).
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from tiphys.api.quota.amounts import Amounts, add, masked, read_all, shown
from tiphys.api.quota.evaluators import Evaluator
from tiphys.api.quota.scopes import scopes_of


class Refused(Exception):
    """It does not fit; the text is upstream's, to follow `is forbidden: `."""


class Request(NamedTuple):
    """What is written. `old` is None where the object is new."""

    evaluator: Evaluator
    obj: Any
    old: Any
    now: datetime
    status_only: bool = False
    """A status tells what is: it is counted, and never refused."""


def charge(quota: Any, request: Request, used: Amounts) -> Amounts:
    """What `request` adds to `quota`, of which `used` is used already; empty: nothing. Raises Refused."""
    evaluator, obj, old = request.evaluator, request.obj, request.old
    hard = read_all(quota.status.hard)
    wanted = scopes_of(quota.spec)
    if not evaluator.covers(hard, wanted, obj):
        return {}
    name = quota.metadata.name
    restricted = evaluator.matching(hard)
    complaint = evaluator.complaint(restricted, obj)
    if complaint:
        raise Refused(f"failed quota: {name}: {complaint}")
    if any(resource not in used for resource in restricted):
        raise Refused(f"status unknown for quota: {name}, resources: {','.join(sorted(restricted))}")
    usage = evaluator.usage(obj, request.now)
    negative = sorted(resource for resource, number in usage.items() if number < 0)
    if negative:
        raise Refused(f"quota usage is negative for resource(s): {','.join(negative)}")
    if old is not None and evaluator.covers(hard, wanted, old):
        before = evaluator.usage(old, request.now)
        usage = {resource: max(number - before.get(resource, 0), 0) for resource, number in usage.items()}
    delta = {resource: number for resource, number in masked(usage, hard).items() if number}
    if not request.status_only:
        over = sorted(resource for resource, number in delta.items() if used.get(resource, 0) + number > hard[resource])
        if over:
            raise Refused(
                f"exceeded quota: {name}, requested: {shown(masked(delta, over))}, "
                f"used: {shown(masked(used, over))}, limited: {shown(masked(hard, over))}"
            )
    return delta


def used_by(quota: Any, objects: Iterable[tuple[Evaluator, Iterable[Any]]], now: datetime) -> Amounts:
    """What the `objects` of a namespace, by evaluator, use of the hard limits of `quota`, as they are wanted."""
    hard = read_all(quota.spec.hard)
    wanted = scopes_of(quota.spec)
    total: Amounts = {}
    for evaluator, found in objects:
        names = evaluator.matching(hard)
        if not names:
            continue
        add(total, dict.fromkeys(names, 0))
        for obj in found:
            if all(evaluator.matches_scope(scope, obj) for scope in wanted):
                add(total, masked(evaluator.usage(obj, now), names))
    return total
