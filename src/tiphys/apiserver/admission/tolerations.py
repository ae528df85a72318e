"""Tolerations as sets. Source: pkg/util/tolerations/tolerations.go."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.api.kinds.core.references import Toleration


def covers(whole: Toleration, part: Toleration) -> bool:
    """Whether whatever `part` tolerates, `whole` tolerates too."""
    if whole == part:
        return True
    everything = not whole.key and whole.operator == "Exists"
    if part.key != whole.key and not everything:
        return False
    if part.effect != whole.effect and whole.effect:
        return False
    limit = whole.toleration_seconds if whole.effect == "NoExecute" else None
    if limit is not None and (part.toleration_seconds is None or part.toleration_seconds > limit):
        return False
    if whole.operator in ("Equal", ""):
        return part.operator in ("Equal", "") and part.value == whole.value
    return whole.operator == "Exists"


def merged(first: Sequence[Toleration], second: Sequence[Toleration]) -> list[Toleration]:
    """Both, without those that another one covers; of equal ones the first stays."""
    everything = [*first, *second]
    kept: list[Toleration] = []
    for index, toleration in enumerate(everything):
        if any(covers(other, toleration) for other in kept):
            continue
        if any(other != toleration and covers(other, toleration) for other in everything[index + 1 :]):
            continue
        kept.append(toleration)
    return kept
