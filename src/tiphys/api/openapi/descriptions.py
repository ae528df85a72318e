"""What the documents say of types and fields: docstrings beside the declarations, else a data file.

Both are read when a document is first made; nothing of this is loaded before.
"""

from __future__ import annotations

import ast
import inspect
import sys
from functools import cache
from importlib import resources

from tiphys.api.meta.schema import Struct

_ANY = "*"


def of_type(schema: type[Struct]) -> dict[str, str]:
    """Texts by attribute; the type's own is under the empty name. Only what stands beside the declarations."""
    merged: dict[str, str] = {}
    for cls in reversed(schema.__mro__):
        merged.update(_beside_declarations(cls.__module__).get(cls.__name__, {}))
    return merged


def of_field(type_name: str, json_name: str) -> str:
    """The data file's text of a field; empty where it says nothing."""
    texts = _data_file()
    return texts.get((type_name, json_name)) or texts.get((_ANY, json_name), "")


@cache
def _data_file() -> dict[tuple[str, str], str]:
    found = {}
    source = resources.files("tiphys.api.openapi").joinpath("fields.txt").read_text(encoding="utf-8")
    for line in source.splitlines():
        if line and not line.startswith("#"):
            name, _, text = line.partition("\t")
            type_name, _, field = name.partition(".")
            found[type_name, field] = text
    return found


@cache
def _beside_declarations(module_name: str) -> dict[str, dict[str, str]]:
    """The docstrings of a module's classes (under the empty name) and of their fields. Read from the source, once."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module_name]))
    except (OSError, KeyError, TypeError):
        return {}  # installed without sources: documents have what the data file says
    found = {}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            texts = {"": ast.get_docstring(node) or ""}
            for declaration, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(declaration, ast.AnnAssign) and isinstance(declaration.target, ast.Name):
                    text = after.value if isinstance(after, ast.Expr) else None
                    if isinstance(text, ast.Constant) and isinstance(text.value, str):
                        texts[declaration.target.id] = inspect.cleandoc(text.value)
            found[node.name] = {name: " ".join(text.split()) for name, text in texts.items()}
    return found
