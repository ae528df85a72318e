"""What a controller shows of itself at /metrics: declared in its SPEC, measured after each of its plans.

Plans stay pure: a controller's `measure` is told what was planned and how that went, and says what to count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeAlias, TypeVar

from tiphys.api.kind import Kind
from tiphys.controllers._actions import Action, Create, Delete, Update, UpdateStatus

if TYPE_CHECKING:
    from tiphys.controllers._spec import Listers

W = TypeVar("W")
Labels: TypeAlias = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CounterOf:
    """A counter under upstream's name."""

    name: str
    help: str
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class HistogramOf:
    name: str
    help: str
    bounds: tuple[float, ...]
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class GaugeOf:
    """Read off the local copies whenever the page is shown; empty while this process does not lead."""

    name: str
    help: str
    labels: Labels
    collect: Callable[[Listers], Mapping[Labels, float]]


Declared: TypeAlias = CounterOf | HistogramOf | GaugeOf


class Measured(NamedTuple):
    """To count by `value`, or to observe it."""

    metric: CounterOf | HistogramOf
    labels: Labels = ()
    value: float = 1.0


@dataclass(frozen=True, slots=True)
class Turn(Generic[W]):
    """One plan for one key, and how it went."""

    world: W
    actions: Sequence[Action]
    seconds: float
    error: Exception | None = None
    """Why some action was not done; those after it were not, either."""

    @property
    def result(self) -> str:
        return "success" if self.error is None else "error"

    @property
    def code(self) -> str:
        """The last answer's, as HTTP has it."""
        return "200" if self.error is None else str(getattr(self.error, "code", 500))

    def created(self, kind: Kind[Any]) -> Iterator[Any]:
        """Objects that were to be made."""
        return (each.obj for each in self.actions if isinstance(each, Create) and each.kind is kind)

    def updated(self, kind: Kind[Any]) -> Iterator[Any]:
        """Objects as they were to be written, their status included."""
        wanted = (each for each in self.actions if isinstance(each, Update | UpdateStatus))
        return (each.obj for each in wanted if each.kind is kind)

    def deleted(self, kind: Kind[Any]) -> Iterator[Delete]:
        return (each for each in self.actions if isinstance(each, Delete) and each.kind is kind)


def exponential(first: float, factor: float, count: int) -> tuple[float, ...]:
    """Bounds of a histogram."""
    return tuple(first * factor**power for power in range(count))


def stale_skips(subsystem: str, what: str) -> CounterOf:
    """Looks put off because the local copy does not show the controller's last writes."""
    text = f"Total number of {what} syncs skipped due to a stale watch cache."
    return CounterOf(f"{subsystem}_stale_sync_skips_total", text, ("group", "resource"))
