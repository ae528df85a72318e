"""Whether a value is what a schema allows, in the words that upstream's clients see.

A schema is compiled once into `Check`s. Validation collects every complaint; where one of several schemas must hold
(`anyOf`, `oneOf`), those of the schema that fits best are told, which `Result.matches` decides.

On update, what did not change is not complained of: a `Correlation` says what an old value is.
Source: k8s.io/kube-openapi/pkg/validation/{validate,errors}, .../pkg/apiserver/validation/{validation,ratcheting}.go.
"""

from __future__ import annotations

import json
import math
from typing import Any

from tiphys.api.codec_json import equal
from tiphys.api.errors import FieldError, shown
from tiphys.api.structural.correlation import Correlation
from tiphys.api.structural.formats import FORMATS, normalised
from tiphys.base.regexp import BadPattern, found

_INT32, _INT64 = 2**31, 2**63
_MAX_FLOAT = 3.4028234663852886e38
_NUMBERS = ("integer", "number")

Problem = tuple[str, FieldError]
"""The whole text, by which repetitions are recognised, and the error."""


class Result:
    """What one schema says of one value."""

    __slots__ = ("matches", "problems")

    def __init__(self) -> None:
        self.problems: dict[str, FieldError] = {}
        self.matches = 0
        """How many checks were made and held: which alternative fits best."""

    def add(self, text: str, error: FieldError) -> None:
        self.problems.setdefault(text, error)

    def merge(self, other: Result) -> None:
        for text, error in other.problems.items():
            self.problems.setdefault(text, error)
        self.matches += other.matches


class Check:
    """One schema, compiled. `validate` may be called by several threads."""

    __slots__ = (
        "_additional", "_all_of", "_any_of", "_enum", "_forbids_additional", "_format", "_items", "_not", "_one_of",
        "_properties", "_raw", "_required", "_simple", "_types",
    )  # fmt: skip

    def __init__(self, raw: dict[str, Any]) -> None:
        self._raw = raw
        self._types: tuple[str, ...] = (raw["type"],) if raw.get("type") else ()
        if raw.get("x-kubernetes-int-or-string"):
            self._types = ("integer", "string")
        self._format = normalised(raw.get("format") or "")
        if self._format not in FORMATS or (self._types and self._types != ("string",)):
            self._format = ""
        self._enum: list[Any] | None = raw.get("enum") or None
        properties = raw.get("properties") or {}
        self._properties = {name: Check(child) for name, child in properties.items()}
        additional = raw.get("additionalProperties")
        self._additional = Check(additional) if isinstance(additional, dict) else None
        self._forbids_additional = additional is False
        self._required: list[str] = raw.get("required") or []
        items = raw.get("items")
        self._items = Check(items) if isinstance(items, dict) else None
        self._all_of = [Check(child) for child in raw.get("allOf") or ()]
        self._any_of = [Check(child) for child in raw.get("anyOf") or ()]
        self._one_of = [Check(child) for child in raw.get("oneOf") or ()]
        self._not = Check(raw["not"]) if isinstance(raw.get("not"), dict) else None
        self._simple = not (self._all_of or self._any_of or self._one_of or self._not)

    def errors(self, value: Any, path: str = "", old: Correlation | None = None) -> list[FieldError]:
        """Every complaint about `value`. With `old`, what is unchanged is let pass."""
        return list(self.run(value, path, old).problems.values())

    def run(self, value: Any, path: str, old: Correlation | None) -> Result:
        result = Result()
        if value is None:
            self._check_null(path, result)
        else:
            self._check_type(value, path, result)
            if not self._simple:
                self._check_logic(value, path, result)
            if type(value) is dict:
                self._check_object(value, path, result, old)
            elif type(value) is list:
                self._check_list(value, path, result, old)
            elif type(value) is str:
                self._check_text(value, path, result)
            elif type(value) is not bool:
                self._check_number(value, path, result)
            if self._enum is not None:
                self._check_enum(value, path, result)
            result.matches += 2
        if result.problems and old is not None and old.unchanged():
            result.problems.clear()
        return result

    def _check_null(self, path: str, result: Result) -> None:
        if self._types and not self._raw.get("nullable"):
            _wrong_type(path, ",".join(self._types), "null", result)
        if self._enum is not None:
            self._check_enum(None, path, result)

    def _check_type(self, value: Any, path: str, result: Result) -> None:
        types = self._types
        if not types:
            if self._format and type(value) is str:
                result.matches += 1
                self._check_format(value, path, result)
            return
        found_type = _type_of(value)
        fits = found_type in types or (
            found_type in _NUMBERS
            and ("number" in types or ("integer" in types and (type(value) is int or value.is_integer())))
        )
        if not fits and not (self._format and found_type in ("string", "array")):
            _wrong_type(path, ",".join(types), found_type, result)
            return
        result.matches += 2
        if self._format and type(value) is str:
            self._check_format(value, path, result)

    def _check_format(self, value: str, path: str, result: Result) -> None:
        if not FORMATS[self._format](value):
            _wrong_type(path, self._raw["format"], value, result)
        else:
            result.matches += 1

    def _check_enum(self, value: Any, path: str, result: Result) -> None:
        allowed = self._enum or []
        if any(equal(value, choice) for choice in allowed):
            return
        words = [choice if isinstance(choice, str) else json.dumps(choice, separators=(",", ":")) for choice in allowed]
        choices = ", ".join(shown(word) for word in words)
        message = f"Unsupported value: {shown(value)}: supported values: {choices}"
        result.add(f"{path} enum {message}", FieldError("FieldValueNotSupported", _name(path), message))

    def _check_text(self, value: str, path: str, result: Result) -> None:
        raw = self._raw
        longest, shortest, pattern = raw.get("maxLength"), raw.get("minLength"), raw.get("pattern")
        if longest is not None and len(value) > longest:
            message = f"Too long: may not be more than {longest} bytes"
            result.add(f"{path} {message}", FieldError("FieldValueTooLong", _name(path), message))
        elif shortest is not None and len(value) < shortest:
            _invalid(path, value, f"should be at least {shortest} chars long", result)
        elif pattern:
            try:
                if not found(pattern, value):
                    _invalid(path, value, f"should match '{pattern}'", result)
            except BadPattern as problem:
                _invalid(path, value, f"should match '{pattern}, but pattern is invalid: {problem}'", result)

    def _check_number(self, value: float, path: str, result: Result) -> None:
        raw = self._raw
        self._check_range(value, path, result)
        factor, most, least = raw.get("multipleOf"), raw.get("maximum"), raw.get("minimum")
        if factor is not None and not _is_multiple(value, factor):
            _invalid(path, value, f"should be a multiple of {_go_number(factor)}", result)
        if least is not None:
            open_below = bool(raw.get("exclusiveMinimum"))
            limit = int(least) if type(value) is int else least
            if value < limit or (open_below and value == limit):
                words = "greater than" if open_below else "greater than or equal to"
                _invalid(path, value, f"should be {words} {_go_number(limit)}", result)
        if most is not None:
            open_above = bool(raw.get("exclusiveMaximum"))
            limit = int(most) if type(value) is int else most
            if value > limit or (open_above and value == limit):
                words = "less than" if open_above else "less than or equal to"
                _invalid(path, value, f"should be {words} {_go_number(limit)}", result)
        result.matches += 1

    def _check_range(self, value: float, path: str, result: Result) -> None:
        stated = self._raw.get("format") or ""
        if self._types == ("integer",):
            limit = _INT32 if stated == "int32" else _INT64
            if not -limit <= value < limit:
                shown_format = f"with format {stated}" if stated in ("int32", "int64") else "(default format)"
                _plain(f"Checked value must be of type integer {shown_format} in {path}", result)
        elif self._types == ("number",) and stated == "float" and abs(value) > _MAX_FLOAT:
            _plain(f"Checked value must be of type number with format float in {path}", result)

    def _check_list(self, value: list[Any], path: str, result: Result, old: Correlation | None) -> None:
        raw, items = self._raw, self._items
        if items is not None:
            for index, item in enumerate(value):
                child = old.index(index) if old is not None else None
                result.merge(items.run(item, f"{path}[{index}]", child))
        least, most = raw.get("minItems"), raw.get("maxItems")
        if least is not None and len(value) < least:
            _invalid(path, len(value), f"should have at least {least} items", result)
        if most is not None and len(value) > most:
            _too_many(path, len(value), most, result)
        if raw.get("uniqueItems") and any(equal(a, b) for i, a in enumerate(value) for b in value[:i]):
            _invalid(path, "", "shouldn't contain duplicates", result)
        result.matches += 1

    def _check_object(self, value: dict[str, Any], path: str, result: Result, old: Correlation | None) -> None:
        raw, properties = self._raw, self._properties
        least, most = raw.get("minProperties"), raw.get("maxProperties")
        if least is not None and len(value) < least:
            _invalid(path, len(value), f"should have at least {least} properties", result)
        if most is not None and len(value) > most:
            _too_many(path, len(value), most, result)
        for key, item in value.items():
            declared = properties.get(key)
            where = f"{path}.{key}" if path else key
            if declared is None:
                if self._forbids_additional:
                    message = f"{path}.{key} in body is a forbidden property"
                    text = f"Invalid value: {shown(key)}: {message}"
                    result.add(message, FieldError("FieldValueInvalid", _name(path), text))
                    continue
                declared = self._additional
                if declared is None:
                    continue
                where = f"{path}.{key}"
            child = old.key(key) if old is not None else None
            result.merge(declared.run(item, where, child))
        for key in self._required:
            if key not in value:
                where = f"{path}.{key}"
                result.add(f"{where} required", FieldError("FieldValueRequired", _name(where), "Required value"))

    def _check_logic(self, value: Any, path: str, result: Result) -> None:
        if self._any_of:
            self._check_any(value, path, result)
        if self._one_of:
            self._check_one(value, path, result)
        if self._all_of:
            valid = 0
            for check in self._all_of:
                inner = check.run(value, path, None)
                valid += not inner.problems
                result.merge(inner)
            if valid != len(self._all_of):
                more = ". None validated" if not valid else ""
                _logic(path, f"must validate all the schemas (allOf){more}", result)
        if self._not is not None and not self._not.run(value, path, None).problems:
            _logic(path, "must not validate the schema (not)", result)
        result.matches += 1

    def _check_any(self, value: Any, path: str, result: Result) -> None:
        best: Result | None = None
        for check in self._any_of:
            inner = check.run(value, path, None)
            if not inner.problems:
                result.merge(inner)
                return
            if best is None or inner.matches > best.matches:
                best = inner
        _logic(path, "must validate at least one schema (anyOf)", result)
        if best is not None:
            result.merge(best)

    def _check_one(self, value: Any, path: str, result: Result) -> None:
        best: Result | None = None
        valid: list[Result] = []
        for check in self._one_of:
            inner = check.run(value, path, None)
            if not inner.problems:
                valid.append(inner)
            elif not valid and (best is None or inner.matches > best.matches):
                best = inner
        if len(valid) == 1:
            result.merge(valid[0])
            return
        why = f"Found {len(valid)} valid alternatives" if valid else "Found none valid"
        _logic(path, f"must validate one and only one schema (oneOf). {why}", result)
        if best is not None and not valid:
            result.merge(best)


def _name(path: str) -> str:
    """The path as an error's field: `.foo` at the root is `foo`; the root itself is `<nil>`."""
    return path.removeprefix(".") or "<nil>"


def _type_of(value: Any) -> str:
    if type(value) is bool:
        return "boolean"
    names = {str: "string", int: "integer", float: "number", list: "array", dict: "object"}
    return names.get(type(value), "null")


def _wrong_type(path: str, wanted: str, found_value: str, result: Result) -> None:
    """`found_value` is the type that was found, or the text that has not the format."""
    body = f"{path} in body must be of type {wanted}: {shown(found_value)}"
    error = FieldError("FieldValueTypeInvalid", _name(path), f"Invalid value: {shown(found_value)}: {body}")
    result.add(body, error)


def _invalid(path: str, value: Any, what: str, result: Result) -> None:
    body = f"{path} in body {what}"
    result.add(body, FieldError("FieldValueInvalid", _name(path), f"Invalid value: {shown(value)}: {body}"))


def _plain(text: str, result: Result) -> None:
    result.add(text, FieldError("FieldValueInvalid", "<nil>", f'Invalid value: "": {text}'))


def _logic(path: str, what: str, result: Result) -> None:
    text = f"{shown(path)} {what}"
    result.add(text, FieldError("FieldValueInvalid", "<nil>", f'Invalid value: "": {text}'))


def _too_many(path: str, actual: int, most: int, result: Result) -> None:
    message = f"Too many: {actual}: must have at most {most} {'item' if most == 1 else 'items'}"
    result.add(f"{path} {message}", FieldError("FieldValueTooMany", _name(path), message))


def _is_multiple(value: float, factor: float) -> bool:
    if factor <= 0:
        return False
    if type(value) is int and float(factor).is_integer():
        return value % int(factor) == 0
    quotient = (1 / factor * value) if factor < 1 else value / factor
    return math.isfinite(quotient) and abs(quotient - round(quotient)) < 1e-9


def _go_number(value: float) -> str:
    return str(int(value)) if float(value).is_integer() and abs(value) < 1e21 else repr(float(value))
