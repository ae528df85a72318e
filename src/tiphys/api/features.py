"""Feature gates: which are on, and fields that nobody may write while theirs is off.

`feature_gates.txt` lists upstream's of v1.36. Most change nothing here: what is behind them is either always there (on
by default upstream) or not at all. Those in `HONOURED` do: fields declared with `proto(..., gate=...)` are dropped when
written, and a few defaults and checks ask `enabled`.

Gates are the process's, as upstream's are: all API servers in it share them.

Source: staging/src/k8s.io/component-base/featuregate/feature_gate.go; the functions dropDisabled* of pkg/registry and
pkg/api/pod/util.go.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from tiphys.api.meta.schema import Struct
from tiphys.api.meta.shape import Field, ListOf, MapOf, Shape, StructOf, shape_of

_GROUPS = {"AllAlpha": "alpha", "AllBeta": "beta"}
_TRUE = frozenset(("1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))
HONOURED = frozenset(
    ("ClusterTrustBundleProjection", "ContainerStopSignals", "CoordinatedLeaderElection", "DRAListTypeAttributes",
     "DRANodeAllocatableResources", "DRAWorkloadResourceClaims", "GenericWorkload", "MaxUnavailableStatefulSet",
     "PodCertificateRequest", "TaintTolerationComparisonOperators", "TopologyAwareWorkloadScheduling",
     "VolumeLimitScaling", "WorkloadAwarePreemption")
)  # fmt: skip
"""Gates that are off by default and change something here."""


class Gate(msgspec.Struct, frozen=True):
    """What upstream says of a gate."""

    stage: str
    """`alpha`, `beta`, `ga` or `deprecated`."""
    default: bool
    locked: bool


@cache
def known() -> Mapping[str, Gate]:
    """Every gate by its name."""
    found = {}
    for line in Path(__file__).with_name("feature_gates.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            name, stage, default, *locked = line.split()
            found[name] = Gate(stage, default == "on", bool(locked))
    return found


_changed: dict[str, bool] = {}


def enabled(name: str) -> bool:
    """Whether a gate of `HONOURED` is on."""
    return _changed.get(name, False)


def state(name: str) -> bool:
    """Whether any known gate is on."""
    return _changed.get(name, known()[name].default)


def parse(items: Iterable[str]) -> dict[str, bool]:
    """What `--feature-gates` says: `Name=true`, each an item. ValueError in upstream's words for what is wrong."""
    said = {}
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals:
            raise ValueError(f"missing bool value for {name}")
        if value not in _TRUE | _FALSE:
            why = f'strconv.ParseBool: parsing "{value}": invalid syntax'
            raise ValueError(f"invalid value of {name}={value}, err: {why}")
        said[name] = value in _TRUE
    gates = known()
    for name, on in said.items():
        if name not in _GROUPS and name not in gates:
            raise ValueError(f"unrecognized feature gate: {name}")
        if name in gates and gates[name].locked and on != gates[name].default:
            words = ["false", "true"]
            raise ValueError(f"cannot set feature gate {name} to {words[on]}, feature is locked to {words[not on]}")
    whole = {stage: said.pop(group) for group, stage in _GROUPS.items() if group in said}
    wide = {name: whole[gate.stage] for name, gate in gates.items() if gate.stage in whole and not gate.locked}
    return wide | said


def use(gates: Mapping[str, bool]) -> None:
    """From now on these differ from the defaults, and no others do."""
    _changed.clear()
    _changed.update(gates)


def without_effect(gates: Mapping[str, bool]) -> list[str]:
    """Those that were set to other than their default, and change nothing here."""
    return sorted(name for name, on in gates.items() if on != known()[name].default and name not in HONOURED)


# --- fields

_Path = tuple[Field, ...]


def drop_disabled(schema: type[Struct], new: Any, old: Any, *, status: bool = False) -> None:
    """Clear fields of `new` whose gate is off, unless `old` (None: there is none) uses the feature. What is left empty
    of an optional struct goes with them. `status`: the fields under `status`, else all others.
    """
    for gate, paths in _gated(schema, status):
        if enabled(gate) or (old is not None and any(_used(old, path) for path in paths)):
            continue
        for path in paths:
            _clear(new, path)


def _used(obj: Any, path: _Path) -> bool:
    field, rest = path[0], path[1:]
    value = getattr(obj, field.attribute)
    if not rest:
        return bool(value != field.empty())
    return any(_used(item, rest) for item in _structs(value))


def _clear(obj: Any, path: _Path) -> bool:
    """Whether something was cleared."""
    field, rest = path[0], path[1:]
    value = getattr(obj, field.attribute)
    if not rest:
        found = value != field.empty()
        if found:
            setattr(obj, field.attribute, field.empty())
        return bool(found)
    cleared = [item for item in _structs(value) if _clear(item, rest)]
    if cleared and field.pointer and value == type(value)():
        setattr(obj, field.attribute, None)
    return bool(cleared)


def _structs(value: Any) -> Iterable[Any]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return value.values()
    return () if value is None else (value,)


@cache
def _gated(schema: type[Struct], status: bool) -> tuple[tuple[str, tuple[_Path, ...]], ...]:
    found: dict[str, list[_Path]] = {}
    for path in _paths(shape_of(schema), ()):
        if (path[0].json_name == "status") is status:
            found.setdefault(path[-1].rules.gate, []).append(path)
    return tuple((gate, tuple(paths)) for gate, paths in found.items())


def _paths(shape: Shape, above: _Path, within: tuple[Shape, ...] = ()) -> Iterator[_Path]:
    """`within`: the structs around, for schemas of custom resources hold themselves."""
    while isinstance(shape, ListOf | MapOf):
        shape = shape.item if isinstance(shape, ListOf) else shape.value
    if not isinstance(shape, StructOf) or shape in within:
        return
    for field in shape.fields.values():
        path = (*above, field)
        if field.rules.gate:
            yield path
        else:
            yield from _paths(field.shape, path, (*within, shape))
