"""Which version of Kubernetes brought which functions. Source: .../cel/environment/base.go."""

from __future__ import annotations

from functools import cache

from tiphys.api.cel.declarations import Functions, Overload, Version, functions_of
from tiphys.api.cel.library import (
    authorizer,
    conversions,
    format,  # noqa: A004 - the library's name
    jsonpatch,
    lists,
    network,
    operators,
    optionals,
    quantity,
    regex,
    semver,
    strings,
    times,
    url,
)

_SINCE: tuple[tuple[Version, tuple[Overload, ...]], ...] = (
    ((1, 0), operators.OVERLOADS + conversions.OVERLOADS + strings.BASE + regex.MATCHING + times.OVERLOADS),
    ((1, 0), url.OVERLOADS + regex.OVERLOADS + lists.KUBERNETES + strings.OVERLOADS + strings.JOINING),
    ((1, 27), authorizer.OVERLOADS),
    ((1, 28), optionals.OVERLOADS + quantity.OVERLOADS),
    ((1, 29), strings.SINCE_1_29 + lists.SETS),
    ((1, 30), network.IPS + network.CIDRS),
    ((1, 31), format.OVERLOADS + authorizer.SELECTORS),
    ((1, 32), optionals.MAP_FOLDS),
    ((1, 33), semver.OVERLOADS),
    ((1, 34), lists.EXTENSION),
)
OPTIONALS_SINCE: Version = (1, 28)
CROSS_TYPE_COMPARISON_SINCE: Version = (1, 28)
LITERALS_CHECKED_SINCE: Version = (1, 29)
TWO_VARIABLES_SINCE: Version = (1, 32)
SORT_BY_SINCE: Version = (1, 34)


@cache
def functions(version: Version, patches: bool = False) -> Functions:
    """All functions of a version; `patches` adds those that only mutating policies have."""
    found = [overload for since, overloads in _SINCE if since <= version for overload in overloads]
    if version < CROSS_TYPE_COMPARISON_SINCE:
        found = [overload for overload in found if not _across_types(overload)]
    return functions_of(found + list(jsonpatch.OVERLOADS if patches else ()))


def _across_types(overload: Overload) -> bool:
    ordering = overload.function in ("_<_", "_<=_", "_>_", "_>=_")
    return ordering and overload.types[0] != overload.types[1]
