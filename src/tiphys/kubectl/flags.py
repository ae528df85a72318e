"""Flags as kubectl has them (pflag): `-n x`, `-nx`, `--namespace=x`, `-it`, `--dry-run[=client]`, `--` ends them.

argparse cannot express an option whose value is optional without it eating the next word, hence this small parser.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal


class UsageError(Exception):
    """The command line makes no sense; shown as `error: ...` with a pointer to --help."""


class FlagError(UsageError):
    """A flag that does not exist or has no sense; the help would have told."""


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag. `kind` says how its text is read; `list` and `array` may be repeated, `list` also splits at commas."""

    name: str
    help: str
    short: str = ""
    kind: Literal["bool", "string", "int", "list", "array", "duration"] = "string"
    default: Any = None
    bare: str = ""
    """What the flag means without a value (`--dry-run` is `--dry-run=unchanged`); empty: a value must follow."""


@dataclass(slots=True)
class Parsed:
    """The flags' values by name, and the words that are not flags."""

    values: dict[str, Any]
    words: list[str]
    after_dashes: list[str] = field(default_factory=list)
    """What stood behind `--`."""
    given: set[str] = field(default_factory=set)
    """Names of the flags that were on the command line."""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


def parse(flags: Sequence[Flag], arguments: Sequence[str]) -> Parsed:
    """Raises UsageError with kubectl's words."""
    by_name = {flag.name: flag for flag in flags}
    by_short = {flag.short: flag for flag in flags if flag.short}
    parsed = Parsed({flag.name: _initial(flag) for flag in flags}, [])
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            parsed.after_dashes = rest
            break
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            flag = by_name.get(name)
            if flag is None:
                raise FlagError(f"unknown flag: --{name}")
            assign(parsed, flag, value if equals else _next(flag, rest, f"--{name}"))
        elif word.startswith("-") and word != "-":
            _short(parsed, by_short, word[1:], rest)
        else:
            parsed.words.append(word)
    return parsed


def _initial(flag: Flag) -> Any:
    if flag.default is not None:
        return flag.default
    return {"bool": False, "string": "", "int": 0, "list": [], "array": [], "duration": 0.0}[flag.kind]


def _next(flag: Flag, rest: list[str], shown: str) -> str:
    if flag.kind == "bool":
        return "true"
    if flag.bare:
        return flag.bare
    if not rest:
        raise FlagError(f"flag needs an argument: {shown}")
    return rest.pop(0)


def _short(parsed: Parsed, by_short: dict[str, Flag], letters: str, rest: list[str]) -> None:
    while letters:
        letter, letters = letters[0], letters[1:]
        flag = by_short.get(letter)
        if flag is None:
            raise FlagError(f"unknown shorthand flag: {letter!r} in -{letter}{letters}")
        if flag.kind == "bool" and not letters.startswith("="):
            assign(parsed, flag, "true")
            continue
        value = letters.removeprefix("=") if letters else _next(flag, rest, f"-{letter}")
        assign(parsed, flag, value)
        return


def assign(parsed: Parsed, flag: Flag, text: str) -> None:
    """As if the flag stood on the command line. Raises FlagError."""
    parsed.given.add(flag.name)
    try:
        value = _read(flag, text)
    except ValueError as error:
        raise FlagError(f'invalid argument "{text}" for "--{flag.name}" flag: {error}') from error
    if flag.kind in ("list", "array"):
        parsed.values[flag.name] = [*parsed.values[flag.name], *value]
    else:
        parsed.values[flag.name] = value


def _read(flag: Flag, text: str) -> Any:
    match flag.kind:
        case "bool":
            if text not in ("true", "false", "1", "0", "t", "f"):
                raise ValueError("must be true or false")
            return text in ("true", "1", "t")
        case "int":
            return int(text)
        case "list":
            return [part for part in text.split(",") if part]
        case "array":
            return [text]
        case "duration":
            return duration_s(text)
        case "string":
            return text


_UNITS_S = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration_s(text: str) -> float:
    """Go's durations, in seconds: `1h30m`, `250ms`, `-1s`; a bare number is refused except 0. Raises ValueError."""
    import re

    sign, body = (-1.0, text[1:]) if text.startswith("-") else (1.0, text)
    if body == "0":
        return 0.0
    if not re.fullmatch(r"(\d+(\.\d+)?(ns|us|ms|s|m|h))+", body):
        raise ValueError(f"time: invalid duration {text!r}")
    parts = re.findall(r"(\d+(?:\.\d+)?)(ns|us|ms|s|m|h)", body)
    return sign * sum(float(number) * _UNITS_S[unit] for number, unit in parts)
