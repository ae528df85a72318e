"""Fields that no type knows, and keys that stand twice: all of them, in document order, in upstream's words.

Almost every body has neither, so a cheap look comes first: decode to plain values, see that every key is known, and
see that writing them again gives what came in (a second key would be missing). Only when that look fails is the text
parsed pair by pair.

Source: sigs.k8s.io/json (kubernetes_patch.go: saveStrictError and its limit of 100).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from itertools import islice
from typing import Any

import msgspec

from tiphys.api.meta.schema import Struct
from tiphys.api.meta.shape import EitherOf, ListOf, MapOf, Scalar, Shape, StructOf, shape_of

_MOST = 100
_SPACES = b" \n\r\t"


def problems(schema: type[Struct], body: bytes) -> list[str]:
    """`unknown field "spec.foo"`, `duplicate field "spec.replicas"`, ...; at most 100. `body` decodes as `schema`."""
    try:
        value = msgspec.json.decode(body)
        if _all_known(shape_of(schema))(value) and not _may_repeat(value, body):
            return []
        pairs = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []  # broken UTF-8 in a text, or nested beyond reason: already judged by the decoder
    unique: dict[str, None] = {}
    for problem in _walk(shape_of(schema), pairs, ""):
        unique[problem] = None
        if len(unique) == _MOST:
            break
    return list(unique)


def unknown_fields(schema: type[Struct], value: Any) -> list[str]:
    """The same for values that are already plain, where nothing can stand twice."""
    shape = shape_of(schema)
    if _all_known(shape)(value):
        return []
    return list(islice(dict.fromkeys(_walk(shape, value, "")), _MOST))


def repeated_fields(body: bytes) -> list[str]:
    """`duplicate field "spec.replicas"`, ... of JSON whose fields nobody declared; at most 100."""
    try:
        if not _may_repeat(msgspec.json.decode(body), body):
            return []
        pairs = json.loads(body, object_pairs_hook=_Pairs)
    except (ValueError, RecursionError):
        return []
    return list(islice(dict.fromkeys(_walk(None, pairs, "")), _MOST))


def _may_repeat(value: Any, body: bytes) -> bool:
    # Spaces come and go with the client; those within texts are left out on both sides.
    if msgspec.json.encode(value).translate(None, _SPACES) == body.translate(None, _SPACES):
        return False
    repeated = False

    def note(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal repeated
        unique = dict(pairs)
        repeated = repeated or len(unique) < len(pairs)
        return unique

    json.loads(body, object_pairs_hook=note)
    return repeated


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as its pairs, in order, with every repetition."""


def _walk(shape: Shape | None, value: Any, path: str) -> Iterator[str]:
    if isinstance(shape, EitherOf):
        shape = shape.struct if isinstance(value, _Pairs | dict) else shape.other
    if isinstance(value, _Pairs | dict):
        seen = set()
        for key, item in value.items() if isinstance(value, dict) else value:
            where = f"{path}.{key}" if path else key
            if isinstance(shape, StructOf):
                declared = shape.fields.get(key)
                if declared is None:
                    yield f"unknown field {json.dumps(where, ensure_ascii=False)}"
                    continue
                inner: Shape | None = declared.shape
            else:
                inner = shape.value if isinstance(shape, MapOf) else None
            if key in seen:
                yield f"duplicate field {json.dumps(where, ensure_ascii=False)}"
            seen.add(key)
            yield from _walk(inner, item, where)
    elif isinstance(value, list):
        item_shape = shape.item if isinstance(shape, ListOf) else None
        for index, item in enumerate(value):
            yield from _walk(item_shape, item, f"{path}[{index}]")


_Check = Callable[[Any], bool]


@cache
def _all_known(shape: StructOf) -> _Check:
    """Whether every key of a value is declared; compiled once per type."""
    children: dict[str, _Check | None] = {}

    def check(value: Any) -> bool:
        if not children:
            children.update({name: _check_of(field.shape) for name, field in shape.fields.items()})
        if type(value) is not dict:
            return True
        for key, item in value.items():
            try:
                inner = children[key]
            except KeyError:
                return False
            if inner is not None and not inner(item):
                return False
        return True

    return check


def _check_of(shape: Shape) -> _Check | None:
    """None: nothing below can be unknown."""
    if isinstance(shape, StructOf):
        return _all_known(shape)
    if isinstance(shape, Scalar):
        return None
    if isinstance(shape, EitherOf):
        known, other = _all_known(shape.struct), _check_of(shape.other)
        return lambda value: known(value) if type(value) is dict else other is None or other(value)
    inner = _check_of(shape.item if isinstance(shape, ListOf) else shape.value)
    if inner is None:
        return None
    if isinstance(shape, ListOf):
        return lambda value: type(value) is not list or all(map(inner, value))
    return lambda value: type(value) is not dict or all(map(inner, value.values()))
