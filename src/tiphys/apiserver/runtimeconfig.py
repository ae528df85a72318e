"""Which versions and kinds are served: the defaults, changed by `--runtime-config`.

Source: staging/src/k8s.io/apiserver/pkg/server/resourceconfig/helpers.go, .../options/api_enablement.go.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds import KINDS, PREVIEW_KINDS

_MATCHERS: Mapping[str, Callable[[str], object]] = {
    "api/all": lambda version: True,
    "api/ga": re.compile(r"v\d+").fullmatch,
    "api/beta": re.compile(r"v\d+beta\d+").fullmatch,
    "api/alpha": re.compile(r"v\d+alpha\d+").fullmatch,
}
"""In order of growing weight."""
_TRUE = frozenset(("", "1", "t", "T", "true", "TRUE", "True"))
_FALSE = frozenset(("0", "f", "F", "false", "FALSE", "False"))


def served_kinds(runtime_config: Iterable[str] = ()) -> tuple[Kind[Any], ...]:
    """The kinds to serve. Items read `api/all=true`, `GROUP/VERSION=false`, `GROUP/VERSION/RESOURCE=true`; the core
    group's version is `/v1`. Raises ValueError in upstream's words for items that mean nothing.
    """
    wanted = dict(_item(text) for text in runtime_config)
    if not wanted:
        return KINDS
    if wanted == {"api/all": False}:
        raise ValueError("invalid runtime-config with only api/all=false")
    _check(wanted)
    default = dict.fromkeys(KINDS, True) | dict.fromkeys(PREVIEW_KINDS, False)
    return tuple(kind for kind, on in default.items() if _is_on(kind, on, wanted))


def _item(text: str) -> tuple[str, bool]:
    key, _, value = text.partition("=")
    if value in _TRUE:
        return key.strip(), True
    if value in _FALSE:
        return key.strip(), False
    raise ValueError(f"invalid value of {key}: {value}")


def _check(wanted: Mapping[str, bool]) -> None:
    known = {(kind.group, kind.version) for kind in (*KINDS, *PREVIEW_KINDS)}
    groups = {group for group, _ in known}
    for key in wanted.keys() - _MATCHERS.keys():
        tokens = key.split("/")
        if len(tokens) not in (2, 3):
            raise ValueError(f"runtime-config invalid key {key}")
        if tokens[0] not in groups:
            raise ValueError(f"unknown api groups {tokens[0]}/{tokens[1]}")
        if (tokens[0], tokens[1]) not in known:
            raise ValueError(f"group version {tokens[0]}/{tokens[1]} that has not been registered")
        if key != key.lower():
            raise ValueError(f"invalid key {key}: group/version/resource and resource is always lowercase plural")


def _is_on(kind: Kind[Any], on: bool, wanted: Mapping[str, bool]) -> bool:
    for key, matches in _MATCHERS.items():
        if key in wanted and matches(kind.version):
            on = wanted[key]
    version = f"{kind.group}/{kind.version}"
    return wanted.get(f"{version}/{kind.plural}", wanted.get(version, on))
