"""Keys as JSON pointers need them. Source: .../cel/library/jsonpatch.go."""

from tiphys.api.cel.cost.calls import REWRITTEN
from tiphys.api.cel.declarations import overload


def _escape(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")


OVERLOADS = (
    overload("string_jsonpatch_escapeKey_string", "jsonpatch.escapeKey(string) -> string", _escape, REWRITTEN),
)
