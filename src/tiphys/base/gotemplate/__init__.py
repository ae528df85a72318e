"""Go's text/template, as far as people use it on JSON: `kubectl get -o go-template=...`.

`lexer` cuts the text into tokens, `parser` makes a tree of them, `run` walks the tree over a value, `functions` has
what templates may call. Numbers are what Go's JSON decoder makes of them, so 1000000 prints as `1e+06`.
Source: Go's text/template; k8s.io/cli-runtime pkg/printers/template.go for `exists` and `base64decode`.
"""

from __future__ import annotations

from typing import Any

from tiphys.base.gotemplate.lexer import TemplateError
from tiphys.base.gotemplate.parser import parse
from tiphys.base.gotemplate.run import execute

__all__ = ["TemplateError", "render"]


def render(template: str, value: Any) -> str:
    """The template over a JSON value. Raises TemplateError, with Go's words where people look for them."""
    return execute(parse(template), value)
