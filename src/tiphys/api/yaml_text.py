"""JSON values as YAML text, as Go's encoder writes it: keys sorted, `"` around what a reader would take for something
else than text, `|` for several lines.

Source: sigs.k8s.io/yaml (goyaml.v2/encode.go).
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_NUMBER = re.compile(r"^[-+]?(\.\d+|\d[\d_]*(\.\d*)?)([eE][-+]?\d+)?$|^0[oO]?[0-7_]+$")
_ONE_LETTER = re.compile(r"^[yYnN]$")


def to_yaml(value: Any) -> str:
    """Block style, long lines unbroken."""
    import yaml

    text: str = yaml.dump(
        value, Dumper=_dumper(), sort_keys=True, default_flow_style=False, width=1_000_000, allow_unicode=True
    )
    return text


@cache
def _dumper() -> Any:
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    dumper: Any = type("_Dumper", (base,), {})
    # What Go reads as a number or a boolean, and PyYAML does not: `1e3`, `0o7`, `y`.
    dumper.add_implicit_resolver("tag:yaml.org,2002:float", _NUMBER, list("-+.0123456789"))
    dumper.add_implicit_resolver("tag:yaml.org,2002:bool", _ONE_LETTER, list("yYnN"))
    resolver = yaml.resolver.Resolver
    plain = dumper.yaml_implicit_resolvers

    def text_of(own: Any, data: str) -> Any:
        style = None
        if "\n" in data:
            style = "|"
        elif any(pattern.match(data) for _, pattern in (*plain.get(data[:1], ()), *plain.get(None, ()))):
            style = '"'
        return own.represent_scalar(resolver.DEFAULT_SCALAR_TAG, data, style=style)

    dumper.add_representer(str, text_of)
    return dumper
