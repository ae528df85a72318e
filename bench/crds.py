"""A hundred CustomResourceDefinitions, as a large set of operators brings them: time to established, and memory.

python bench/crds.py --kubeconfig FILE [--pid PID] [--count 100] [--set DIR]

Each definition is created, waited for until it is established, and served an empty list. With `--pid`, the server's
memory before and after is told. `--set` takes the definitions of real projects (a directory of JSON or YAML, repeated
under other names up to `--count`) instead of made-up ones of 60 KB.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from command import run
from processes import resident_mb
from results import Result, spread_ms
from target import Connection, Target

BASE = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_WAIT_S = 60.0
"""For each definition, to be established or to go."""
_ESTABLISHED = re.compile(rb'"type":"Established","status":"True"|"status":"True"[^{}]*"type":"Established"')
_DEPTH = 3
_WIDTH, _LARGE_WIDTH = 7, 42
"""Objects within objects, and the fields of each: about 60 KB, and about 300 KB where large ones are asked for."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--pid", type=int, help="the API server's process, whose memory is told")
    parser.add_argument("--large", action="store_true", help="made-up ones as large as Argo's")
    parser.add_argument("--set", type=Path, help="a directory of definitions")


def made_up(width: int = _WIDTH) -> dict[str, Any]:
    """A definition with a status, defaults, patterns, a map list and a rule."""
    spec = _object(_DEPTH, width)
    spec["x-kubernetes-validations"] = [{"rule": "self.field0 != self.field1", "message": "fields must differ"}]
    schema = {"type": "object", "properties": {"spec": spec, "status": _object(1, width)}}
    version = {
        "name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
        "subresources": {"status": {}},
    }  # fmt: skip
    names = {"plural": "things", "kind": "Thing"}
    return {"spec": {"group": "bench.example.com", "scope": "Namespaced", "names": names, "versions": [version]}}


def _object(depth: int, width: int) -> dict[str, Any]:
    fields: dict[str, Any] = {
        f"field{number}": {
            "type": "string", "maxLength": 64, "pattern": "^[a-z0-9-]*$",
            "description": "A field with a text of usual length, which says what it is for and what it may hold.",
        }
        for number in range(width)
    }  # fmt: skip
    fields["count"] = {"type": "integer", "minimum": 0, "default": 1}
    if depth:
        fields |= {f"part{number}": _object(depth - 1, width) for number in range(3)}
        fields["items"] = {
            "type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}},
        }  # fmt: skip
    return {"type": "object", "properties": fields}


class _Loader(yaml.CSafeLoader):
    """YAML 1.1 as projects write it: `=` is text, where the standard has a type that nobody uses."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != "tag:yaml.org,2002:value"]
    for first, known in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def definitions(directory: Path | None, count: int, *, large: bool = False) -> list[dict[str, Any]]:
    """`count` definitions, each under a name of its own."""
    if directory is None:
        known = [made_up(_LARGE_WIDTH if large else _WIDTH)]
    else:
        files = sorted(directory.rglob("*.yaml")) + sorted(directory.rglob("*.json"))
        known = [yaml.load(file.read_text(), Loader=_Loader) for file in files]
    return [_renamed(known[number % len(known)], number) for number in range(count)]


def _renamed(definition: dict[str, Any], number: int) -> dict[str, Any]:
    spec = dict(definition["spec"])
    plural, kind = f"bench{number}s", f"Bench{number}"
    spec["names"] = {"plural": plural, "singular": plural[:-1], "kind": kind, "listKind": f"{kind}List"}
    spec["group"] = "bench.example.com"
    spec.pop("conversion", None)
    return {
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{spec['group']}"}, "spec": spec,
    }  # fmt: skip


async def measure(target: Target, args: argparse.Namespace) -> Sequence[Result]:
    made = definitions(args.set, args.count, large=args.large)
    before = resident_mb(args.pid) if args.pid else 0.0
    connection = await Connection(target).open()
    times = []
    began_s = time.perf_counter()
    try:
        for definition in made:
            start_s = time.perf_counter()
            await connection.ask("POST", BASE, definition)
            async with asyncio.timeout(_WAIT_S):
                await _established(connection, definition)
            times.append(time.perf_counter() - start_s)
        took_s = time.perf_counter() - began_s
        after = resident_mb(args.pid) if args.pid else 0.0
        gone_s = await _removed(connection, made)
    finally:
        connection.close()
    results = [
        Result("definitions installed", took_s, "s", f"{args.count} of them, each {spread_ms(times)}"),
        Result("definitions removed", gone_s, "s"),
    ]
    if args.pid:
        results.append(Result("memory of definitions", after - before, "MB", f"{before:.0f} MB before"))
    return results


async def _established(connection: Connection, definition: dict[str, Any]) -> None:
    name, spec = definition["metadata"]["name"], definition["spec"]
    while True:
        _, answer = await connection.request("GET", f"{BASE}/{name}")
        if _ESTABLISHED.search(answer):
            break
        await asyncio.sleep(0.005)
    version = next(version["name"] for version in spec["versions"] if version["served"])
    await connection.ask("GET", f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")


async def _removed(connection: Connection, made: list[dict[str, Any]]) -> float:
    began_s = time.perf_counter()
    for definition in made:
        await connection.ask("DELETE", f"{BASE}/{definition['metadata']['name']}", {})
    for definition in made:
        async with asyncio.timeout(_WAIT_S):
            while (await connection.request("GET", f"{BASE}/{definition['metadata']['name']}"))[0] != 404:  # noqa: ASYNC110 # polled, as clients do
                await asyncio.sleep(0.02)
    return time.perf_counter() - began_s


if __name__ == "__main__":
    run(__doc__, arguments, measure)
