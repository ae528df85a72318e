"""Random JSON that has the shape of a kind, except where it has not: deep enough to reach what checks it.

Everything follows from the seed of the `Random` that is passed in, so that a failure can be had again.
"""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

import msgspec
import msgspec.inspect as shapes

TEXTS = (
    "", "a", "A_b", "web", "default", "1", "-1", "0", "50%", "-5%", "500%", "10Gi", "1e999", "0.5", "1.",
    "1n", "9" * 40, "*", "*.a", "a.example.com", "a.example.com/b", "a/b/c", "/", "..", "../..", "%2e",
    "$(A)", "%s%n", "10.0.0.1", "010.0.0.1", "::1", "fd00::/64", "10.0.0.0/8", "10.0.0.0/99",
    "::ffff:1.2.3.4", "2026-01-02T03:04:05Z", "2026-01-02T03:04:05.000001Z", "2026-13-45T00:00:00Z",
    "0001-01-01T00:00:00Z", "1h", "-1h", "* * * * *", "@every 1s", "TZ=X * * * * *", "self.a", "self.a[",
    "true", "object.spec == 1", "{.spec.a}", "[", "(", "(?<!a)b", "^(a+)+$", "a=b", "a in (b,c)", "a in (",
    "!a", "v1", "v1beta1", "Pod", "Deployment", "Service", "Never", "Always", "ClusterIP", "ExternalName",
    "LoadBalancer", "NodePort", "None", "RollingUpdate", "Recreate", "In", "Exists", "DoesNotExist", "Gt",
    "Equals", "Limited", "Exempt", "Utilization", "Resource", "Pods", "External", "Indexed", "NonIndexed",
    "0-5,7", "5-0", "TCP", "SCTP", "Delete", "Retain", "Immutable", "Job", "IPv4", "IPv6", "\x00", "\ud800",
    "\u200b", "\u00e9", "\U0001f600", "x" * 70, "x" * 300, "a\nb",
    "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "https://a:99999/x", "http://[::1",
    "sha256:0", "kubernetes.io/tls", "cpu", "memory", "pods", "requests.cpu", "hugepages-2Mi", "count/pods",
    "unix:///a", "Localhost", "RuntimeDefault", "spec.nodeName", "metadata.name", "metadata.labels['a']",
    "system:masters", "User", "Group", "ServiceAccount", "ClusterRole", "Role", "rbac.authorization.k8s.io",
    "apps", "apps/v1", "name", "uid", "e3b0c442-98fc-4c14-9afb-f4c8996fb924",
)  # fmt: skip
"""Words of the API, and what breaks parsers."""
NUMBERS = (0, 1, -1, 2, 3, 80, 65535, 65536, 1000, 2**31 - 1, 2**31, -(2**31), 2**32, 2**53, 2**63 - 1, -(2**63), 2**63)
JUNK: tuple[Any, ...] = (
    None, True, False, "", 0, -1, 1.5, 1e308, 2**64, 10**40, [], {}, [None], {"": None}, [[]], [{}],
    {"a": {"a": []}}, "\x00",
)  # fmt: skip
_DEEP = 7


def value(shape: Any, random: Random, depth: int = 0) -> Any:
    """JSON of this shape; now and then of none."""
    if random.random() < 0.01:
        return deepcopy(random.choice(JUNK))
    match shape:
        case shapes.UnionType():
            return value(random.choice(shape.types), random, depth)
        case shapes.StructType():
            return struct(shape, random, depth)
        case shapes.ListType():
            return [value(shape.item_type, random, depth + 1) for _ in range(_few(random, depth))]
        case shapes.DictType():
            return {_text(random): value(shape.value_type, random, depth + 1) for _ in range(_few(random, depth))}
        case shapes.IntType():
            return random.choice(NUMBERS)
        case shapes.FloatType():
            return random.choice((0.0, 1.5, -1e300, 3))
        case shapes.BoolType():
            return random.random() < 0.5
        case shapes.NoneType():
            return None
        case shapes.StrType() | shapes.CustomType() | shapes.BytesType():
            return _text(random) if random.random() < 0.95 else random.choice(NUMBERS)
        case shapes.LiteralType():
            return random.choice(shape.values)
        case _:
            return deepcopy(random.choice((*JUNK, *TEXTS)))


def struct(shape: shapes.StructType, random: Random, depth: int = 0) -> dict[str, Any]:
    """Some of a struct's fields: the more, the nearer to the root."""
    wanted = max(2.5, 6 - depth) / max(len(shape.fields), 1)
    if depth > _DEEP:
        return {}
    return {
        field.encode_name: value(field.type, random, depth + 1) for field in shape.fields if random.random() < wanted
    }


def merged(base: Any, over: Any, random: Random) -> Any:
    """`base` with parts of `over` in it."""
    if isinstance(base, dict) and isinstance(over, dict):
        made = dict(base)
        for name, item in over.items():
            if name not in made:
                made[name] = item
            elif random.random() < 0.7:
                made[name] = merged(made[name], item, random)
        return made
    if isinstance(base, list) and isinstance(over, list) and base:
        return [merged(item, random.choice(over), random) if over else item for item in base] + over[:1]
    return over if random.random() < 0.3 else base


def spoiled(body: Any, random: Random) -> Any:
    """One place of `body` (which is changed) holds something else, or nothing."""
    places: list[tuple[Any, Any]] = []
    stack = [body]
    while stack:
        at = stack.pop()
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        places += [(at, key) for key in keys]
        stack += [at[key] for key in keys if isinstance(at[key], dict | list)]
    if not places:
        return deepcopy(random.choice(JUNK))
    at, key = random.choice(places)
    if isinstance(at, dict) and random.random() < 0.2:
        del at[key]
    elif random.random() < 0.5:
        at[key] = random.choice(TEXTS)
    else:
        at[key] = deepcopy(random.choice(JUNK))
    return body


def body_of(schema: type[msgspec.Struct], valid: dict[str, Any], random: Random) -> Any:
    """Something like an object of this schema: `valid` with more in it, and sometimes broken."""
    made = json.loads(json.dumps(valid))
    if random.random() < 0.85:
        made = merged(made, struct(_shape(schema), random), random)
        made.pop("metadata", None) if random.random() < 0.05 else None
        if random.random() < 0.8:
            made["metadata"] = json.loads(json.dumps(valid.get("metadata", {})))
    for _ in range(random.choice((0, 0, 1, 2))):
        made = spoiled(made, random) if isinstance(made, dict | list) else made
    return made


_known: dict[Any, shapes.StructType] = {}


def _shape(schema: type[msgspec.Struct]) -> shapes.StructType:
    if schema not in _known:
        found = shapes.type_info(schema)
        assert isinstance(found, shapes.StructType)
        _known[schema] = found
    return _known[schema]


def _few(random: Random, depth: int) -> int:
    return random.choice((0, 1, 1, 2) if depth < _DEEP else (0, 0, 1))


def _text(random: Random) -> str:
    return random.choice(TEXTS)
