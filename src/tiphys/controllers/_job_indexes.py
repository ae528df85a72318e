"""Completion indexes: sets of numbers as a Job's status writes them (`1,3-5,7`), and pods that bear one.

Source: pkg/controller/job/indexed_job_utils.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

from tiphys.api.kinds.core.pod.containers import Container, EnvVar, EnvVarSource
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.pod.spec import PodTemplateSpec
from tiphys.api.kinds.core.references import ObjectFieldSelector

INDEX = "batch.kubernetes.io/job-completion-index"
"""Annotation and label of a pod."""
FAILURES = "batch.kubernetes.io/job-index-failure-count"
IGNORED_FAILURES = "batch.kubernetes.io/job-index-ignored-failure-count"
ENVIRONMENT = "JOB_COMPLETION_INDEX"
GENERATED_NAME_MAX = 58


class Indexes:
    """A set of indexes as ascending ranges that neither touch nor overlap. Immutable."""

    __slots__ = ("_ranges",)

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        merged: list[tuple[int, int]] = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
            else:
                merged.append((first, last))
        self._ranges = tuple(merged)

    @classmethod
    def of(cls, indexes: Iterable[int]) -> Indexes:
        return cls((index, index) for index in indexes)

    @classmethod
    def parse(cls, text: str, completions: int) -> Indexes:
        """Reads the text form; what makes no sense is left out, and so is what is not below `completions`."""
        ranges = []
        for part in text.split(",") if text else ():
            first, dash, last = part.partition("-")
            if not first.isdigit() or (dash and not last.isdigit()):
                continue
            if int(first) >= completions:
                break
            ranges.append((int(first), min(int(last) if dash else int(first), completions - 1)))
        return cls(ranges)

    def __or__(self, other: Indexes) -> Indexes:
        return Indexes((*self._ranges, *other._ranges))

    def __contains__(self, index: int) -> bool:
        return any(first <= index <= last for first, last in self._ranges)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self._ranges)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Indexes) and self._ranges == other._ranges

    def __hash__(self) -> int:
        return hash(self._ranges)

    def __str__(self) -> str:
        """Two neighbours are `3,4`, three or more `3-5`."""
        parts = []
        for first, last in self._ranges:
            parts.append(str(first) if first == last else f"{first},{last}" if last == first + 1 else f"{first}-{last}")
        return ",".join(parts)

    def common(self, other: Indexes) -> int:
        """How many are in both."""
        total = 0
        for first, last in self._ranges:
            for start, end in other._ranges:
                total += max(0, min(last, end) - max(first, start) + 1)
        return total

    def _missing(self, below: int) -> Iterator[int]:
        candidate = 0
        for first, last in self._ranges:
            yield from range(candidate, min(first, below))
            candidate = max(candidate, last + 1)
        yield from range(candidate, below)

    def missing(self, below: int, count: int) -> list[int]:
        """The lowest `count` indexes below `below` that are not here."""
        return list(islice(self._missing(below), count))


def index_of(pod: Pod) -> int | None:
    text = pod.metadata.annotations.get(INDEX, "")
    return int(text) if text.isascii() and text.isdigit() else None


def number(pod: Pod, annotation: str) -> int:
    text = pod.metadata.annotations.get(annotation, "")
    return int(text) if text.isascii() and text.isdigit() and int(text) < 2**31 else 0


def add_environment(template: PodTemplateSpec) -> None:
    """Containers learn their index from the label, unless they say something else of it themselves."""
    containers: list[Container] = [*template.spec.init_containers, *template.spec.containers]
    for container in containers:
        if all(variable.name != ENVIRONMENT for variable in container.env):
            path = ObjectFieldSelector(field_path=f"metadata.labels['{INDEX}']")
            container.env.append(EnvVar(name=ENVIRONMENT, value_from=EnvVarSource(field_ref=path)))


def generate_name(job: str, index: int) -> str:
    suffix = f"-{index}-"
    return job[: GENERATED_NAME_MAX - len(suffix)] + suffix
