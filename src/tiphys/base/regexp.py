"""Regular expressions that users write: RE2's, in linear time, whatever the pattern.

Python's own `re` backtracks, so a pattern from outside could hold the process for ever. Errors are told in Go's words.
Source: regexp/syntax of Go, whose dialect RE2 shares.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_IN_GO_WORDS = {
    "missing )": "missing closing )",
    "missing ]": "missing closing ]",
    "unexpected )": "unexpected )",
    "trailing \\": "trailing backslash at end of expression",
    "no argument for repetition operator": "missing argument to repetition operator",
    "bad repetition operator": "invalid nested repetition operator",
    "invalid perl operator": "invalid or unsupported Perl syntax",
    "invalid character class range": "invalid character class range",
    "invalid escape sequence": "invalid escape sequence",
    "invalid named capture group": "invalid named capture",
    "invalid repetition size": "invalid repeat count",
    "invalid UTF-8": "invalid UTF-8",
    "pattern too large - compile failed": "expression too large",
}


class BadPattern(ValueError):
    """Not a regular expression. Its text is Go's: ``error parsing regexp: missing closing ): `(` ``."""


@lru_cache(maxsize=2048)
def compiled(pattern: str) -> Any:
    """The pattern, ready for `search`. Raises BadPattern."""
    import re2

    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        text = error.args[0].decode("utf-8", "replace") if isinstance(error.args[0], bytes) else str(error)
        raise BadPattern(_in_go_words(text, pattern)) from None


def found(pattern: str, text: str) -> bool:
    """Whether the pattern matches somewhere in the text. Raises BadPattern."""
    return compiled(pattern).search(text) is not None


def _in_go_words(problem: str, pattern: str) -> str:
    what, _, where = problem.partition(": ")
    words = _IN_GO_WORDS.get(what, what)
    if words == "trailing backslash at end of expression":
        return f"error parsing regexp: {words}: ``"
    return f"error parsing regexp: {words}: `{where or pattern}`"
