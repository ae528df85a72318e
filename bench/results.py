"""What a benchmark found, as a table for people and JSON for machines."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    name: str
    value: float
    unit: str
    detail: str = ""
    """What else was seen: percentiles, sizes."""


def percentile(values: Iterable[float], share: float) -> float:
    """The value below which `share` (0..1) of `values` lie; nan of nothing."""
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


def spread_ms(seconds: Iterable[float]) -> str:
    """`p50 12 ms, p99 40 ms` of times in seconds."""
    kept = list(seconds)
    return f"p50 {percentile(kept, 0.5) * 1e3:.1f} ms, p99 {percentile(kept, 0.99) * 1e3:.1f} ms"


def table(results: Sequence[Result]) -> str:
    width = max((len(r.name) for r in results), default=0)
    return "\n".join(f"{r.name:<{width}}  {_short(r.value):>10} {r.unit:<9} {r.detail}".rstrip() for r in results)


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}"


def write_json(path: Path, results: Sequence[Result], **about: object) -> None:
    path.write_text(json.dumps({**about, "results": [asdict(r) for r in results]}, indent=1) + "\n")
