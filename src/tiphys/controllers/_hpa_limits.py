"""How far and how fast a count may change: stabilisation windows, rates, bounds.

What was recommended and what was done before is remembered between looks, and lost when the process ends.
Source: pkg/controller/podautoscaler/horizontal.go (normalizeDesiredReplicas and what it calls).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

from tiphys.api.kinds.autoscaling.horizontalpodautoscaler_schema import (
    HorizontalPodAutoscalerBehavior,
    HPAScalingPolicy,
    HPAScalingRules,
)

DOWNSCALE_WINDOW_S = 300
UP_FACTOR, UP_MINIMUM = 2.0, 4.0
REMEMBERED_MAX = 512
"""Recommendations and changes that are kept, each; at one look per 15 s more than the longest window needs."""


class Moment(NamedTuple):
    size: int
    at: datetime


@dataclass(frozen=True)
class Past:
    """What an autoscaler remembers of itself."""

    recommendations: tuple[Moment, ...] = ()
    ups: tuple[Moment, ...] = ()
    """Replicas added, and when."""
    downs: tuple[Moment, ...] = ()
    selector: str = ""
    """Of the pods of its target."""

    def recommended(self, count: int, now: datetime, window_s: float) -> Past:
        cutoff = now - timedelta(seconds=window_s)
        kept = tuple(each for each in self.recommendations if each.at >= cutoff)
        return replace(self, recommendations=(*kept, Moment(count, now))[-REMEMBERED_MAX:])

    def scaled(self, before: int, after: int, now: datetime, behavior: HorizontalPodAutoscalerBehavior | None) -> Past:
        """Changes are only asked for by rules of behaviour."""
        if behavior is None or before == after:
            return self
        rules = behavior.scale_up if after > before else behavior.scale_down
        longest_s = max((policy.period_seconds for policy in rules.policies), default=0) if rules else 0
        cutoff = now - timedelta(seconds=longest_s)
        known = self.ups if after > before else self.downs
        kept = (*(each for each in known if each.at >= cutoff), Moment(abs(after - before), now))[-REMEMBERED_MAX:]
        return replace(self, ups=kept) if after > before else replace(self, downs=kept)


class Verdict(NamedTuple):
    replicas: int
    able: tuple[str, str]
    """Reason and message of AbleToScale."""
    limited: tuple[bool, str, str]
    """Status, reason and message of ScalingLimited."""


_READY = ("ReadyForNewScale", "recommended size matches current size")
_DOWN = (
    "ScaleDownStabilized",
    "recent recommendations were higher than current one, applying the highest recent recommendation",
)
_UP = (
    "ScaleUpStabilized",
    "recent recommendations were lower than current one, applying the lowest recent recommendation",
)
_WITHIN = ("DesiredWithinRange", "the desired count is within the acceptable range")
_TOO_MANY = ("TooManyReplicas", "the desired replica count is more than the maximum replica count")
_TOO_FEW = ("TooFewReplicas", "the desired replica count is less than the minimum replica count")
_UP_LIMIT = ("ScaleUpLimit", "the desired replica count is increasing faster than the maximum scale rate")
_DOWN_LIMIT = ("ScaleDownLimit", "the desired replica count is decreasing faster than the maximum scale rate")


def limited(past: Past, current: int, desired: int, low: int, high: int, now: datetime) -> tuple[Verdict, Past]:
    """Without rules of behaviour: down only as far as the last five minutes allow, up at most to the double."""
    cutoff = now - timedelta(seconds=DOWNSCALE_WINDOW_S)
    recent = [each.size for each in past.recommendations if each.at >= cutoff]
    stable = max([desired, *recent])
    top, why = high, _TOO_MANY
    if high > (rate := int(max(UP_FACTOR * current, UP_MINIMUM))):
        top, why = rate, _UP_LIMIT
    if stable < low:
        count, why = low, _TOO_FEW
    elif stable > top:
        count = top
    else:
        count, why = stable, _WITHIN
    verdict = Verdict(count, _DOWN if stable != desired else _READY, (count != stable, *why))
    return verdict, past.recommended(desired, now, DOWNSCALE_WINDOW_S)


def limited_by_rules(
    past: Past,
    behavior: HorizontalPodAutoscalerBehavior,
    current: int,
    desired: int,
    low: int,
    high: int,
    now: datetime,
) -> tuple[Verdict, Past]:
    up, down = behavior.scale_up or HPAScalingRules(), behavior.scale_down or HPAScalingRules()
    up_s = up.stabilization_window_seconds or 0
    down_s = DOWNSCALE_WINDOW_S if down.stabilization_window_seconds is None else down.stabilization_window_seconds
    lowest = min([desired, *_since(past, now, up_s)])
    highest = max([desired, *_since(past, now, down_s)])
    stable = min(max(current, lowest), highest)
    able = _READY if stable == desired else (_UP if desired >= current else _DOWN)
    count, why = _within_rates(past, up, down, current, stable, low, high, now)
    verdict = Verdict(count, able, (count != stable, *why))
    return verdict, past.recommended(desired, now, max(up_s, down_s))


def _since(past: Past, now: datetime, window_s: float) -> list[int]:
    cutoff = now - timedelta(seconds=window_s)
    return [each.size for each in past.recommendations if each.at > cutoff]


def _within_rates(
    past: Past,
    up: HPAScalingRules,
    down: HPAScalingRules,
    current: int,
    desired: int,
    low: int,
    high: int,
    now: datetime,
) -> tuple[int, tuple[str, str]]:
    if desired > current:
        rate = max(current, _up_limit(past, up, current, now))
        top, why = (rate, _UP_LIMIT) if high > rate else (high, _TOO_MANY)
        if desired > top:
            return top, why
    elif desired < current:
        rate = min(current, _down_limit(past, down, current, now))
        bottom, why = (rate, _DOWN_LIMIT) if low < rate else (low, _TOO_FEW)
        if desired < bottom:
            return bottom, why
    return desired, _WITHIN


def _up_limit(past: Past, rules: HPAScalingRules, current: int, now: datetime) -> int:
    if rules.select_policy == "Disabled":
        return current
    choose = min if rules.select_policy == "Min" else max
    limits = []
    for policy in rules.policies:
        start = _at_start(past, policy, current, now)
        grown = math.ceil(round(start * (1 + policy.value / 100), 9))
        limits.append(start + policy.value if policy.type == "Pods" else grown)
    return choose(limits, default=current)


def _down_limit(past: Past, rules: HPAScalingRules, current: int, now: datetime) -> int:
    if rules.select_policy == "Disabled":
        return current
    choose = max if rules.select_policy == "Min" else min
    limits = []
    for policy in rules.policies:
        start = _at_start(past, policy, current, now)
        limits.append(start - policy.value if policy.type == "Pods" else int(start * (1 - policy.value / 100)))
    return choose(limits, default=current)


def _at_start(past: Past, policy: HPAScalingPolicy, current: int, now: datetime) -> int:
    """How many replicas there were when the policy's period began."""
    cutoff = now - timedelta(seconds=policy.period_seconds)
    added = sum(each.size for each in past.ups if each.at > cutoff)
    removed = sum(each.size for each in past.downs if each.at > cutoff)
    return current - added + removed
