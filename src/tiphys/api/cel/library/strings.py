"""Functions of text. Source: cel-go common/stdlib/standard.go, ext/strings.go (version 2)."""

from __future__ import annotations

from typing import Any

from tiphys.api.cel.cost.calls import CONTAINS, FORMAT, JOIN, PREFIX, REPLACE, REWRITTEN, SPLIT, WHOLE_LIST
from tiphys.api.cel.declarations import overload
from tiphys.api.cel.errors import EvaluationError
from tiphys.api.cel.evaluate.calls import counted_after
from tiphys.api.cel.evaluate.shown import shown
from tiphys.api.cel.library.formatting import format_text

_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
_QUOTES = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


def _out_of_range(index: int) -> EvaluationError:
    return EvaluationError(f"index out of range: {index}")


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise _out_of_range(index)
    return text[index : index + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if not part:
        return start
    if start < 0:
        raise _out_of_range(start)
    return text.find(part, start)


def _last_index_of(text: str, part: str, start: int | None = None) -> int:
    if start is None:
        return text.rfind(part)
    if not part:
        return start
    if start < 0:
        raise _out_of_range(start)
    return -1 if start >= len(text) else text.rfind(part, 0, start + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    if separator:
        return text.split(separator, -1 if limit < 0 else limit - 1)
    if limit < 0 or limit >= len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is not None and start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    if not 0 <= start <= len(text):
        raise _out_of_range(start)
    if end is not None and not 0 <= end <= len(text):
        raise _out_of_range(end)
    return text[start:end]


def _join(parts: Any, separator: str = "") -> str:
    for part in parts:
        if not isinstance(part, str):
            raise EvaluationError(f"join: invalid input: {shown(part)}")
    return separator.join(parts)


def _quote(text: str) -> str:
    return f'"{text.translate(_QUOTES)}"'


BASE = (
    overload("contains_string", "string.contains(string) -> bool", lambda text, part: part in text, CONTAINS),
    overload("ends_with_string", "string.endsWith(string) -> bool", str.endswith, PREFIX),
    overload("starts_with_string", "string.startsWith(string) -> bool", str.startswith, PREFIX),
)
OVERLOADS = (
    overload("string_char_at_int", "string.charAt(int) -> string", _char_at),
    overload("string_index_of_string", "string.indexOf(string) -> int", _index_of, WHOLE_LIST),
    overload("string_index_of_string_int", "string.indexOf(string, int) -> int", _index_of, WHOLE_LIST),
    overload("string_last_index_of_string", "string.lastIndexOf(string) -> int", _last_index_of, WHOLE_LIST),
    overload("string_last_index_of_string_int", "string.lastIndexOf(string, int) -> int", _last_index_of, WHOLE_LIST),
    overload("string_lower_ascii", "string.lowerAscii() -> string", lambda text: text.translate(_LOWER), REWRITTEN),
    overload("string_replace_string_string", "string.replace(string, string) -> string", _replace, REPLACE),
    overload("string_replace_string_string_int", "string.replace(string, string, int) -> string", _replace, REPLACE),
    overload("string_split_string", "string.split(string) -> list(string)", _split, SPLIT),
    overload("string_split_string_int", "string.split(string, int) -> list(string)", _split, SPLIT),
    overload("string_substring_int", "string.substring(int) -> string", _substring, REWRITTEN),
    overload("string_substring_int_int", "string.substring(int, int) -> string", _substring, REWRITTEN),
    overload("string_trim", "string.trim() -> string", lambda text: text.strip(_SPACE), REWRITTEN),
    overload("string_upper_ascii", "string.upperAscii() -> string", lambda text: text.translate(_UPPER), REWRITTEN),
)
SINCE_1_29 = (
    overload("string_format", "string.format(list(dyn)) -> string", format_text, FORMAT),
    overload("strings_quote", "strings.quote(string) -> string", _quote),
)
JOINING = (
    overload("list_join", "list(string).join() -> string", _join, counted_after(JOIN)),
    overload("list_join_string", "list(string).join(string) -> string", _join, counted_after(JOIN)),
)
