"""Stages out of a YAML file: `tiphys simulate --stages FILE`. The form is in docs/simulation.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiphys.simulate.lifecycle import BECOMES, DEFAULT_STAGES, Stage, seconds

_PHASES = {"Pending": {"", "Pending"}, "Running": {"Running"}, "Unknown": {"Unknown"}, "Succeeded": {"Succeeded"},
           "Failed": {"Failed"}}  # fmt: skip
_FIELDS = {
    "name", "phases", "deleting", "labels", "ready", "chance", "after", "afterAnnotation", "jitter", "withinGrace",
    "becomes", "exitCode", "reason",
}  # fmt: skip


class StagesError(ValueError):
    """The file cannot be used; the message names it, the stage and the field."""


def load(path: Path) -> tuple[Stage, ...]:
    """The file's stages, and after them the built-in ones, for whatever the file's are not for. Raises StagesError."""
    import yaml

    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise StagesError(f"{path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise StagesError(f"{path}: {' '.join(str(error).split())}") from error
    listed = document.get("stages") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise StagesError(f"{path}: there must be a list called `stages`")
    found = []
    for number, value in enumerate(listed):
        try:
            found.append(_stage(value, number))
        except ValueError as error:
            raise StagesError(f"{path}: stages[{number}]{error}") from None
    names = [stage.name for stage in found]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise StagesError(f"{path}: stages[{number}].name: Duplicate value: {name!r}")
    return (*found, *DEFAULT_STAGES)


def _stage(value: object, number: int) -> Stage:
    if not isinstance(value, dict):
        raise ValueError(": must be a mapping")
    for field in value:
        if field not in _FIELDS:
            raise ValueError(f".{field}: unknown field")
    becomes = value.get("becomes")
    if becomes not in BECOMES:
        raise ValueError(f".becomes: must be one of {', '.join(BECOMES)}")
    deleting = _typed(value, "deleting", bool, False)
    return Stage(
        name=_typed(value, "name", str, f"stage-{number}"),
        phases=_phases(value),
        deleting=deleting,
        becomes=becomes,
        delay_s=_span(value, "after"),
        delay_annotation=_typed(value, "afterAnnotation", str, ""),
        within_grace=_typed(value, "withinGrace", bool, deleting),
        labels={str(key): str(label) for key, label in _typed(value, "labels", dict, {}).items()},
        ready=None if value.get("ready") is None else _typed(value, "ready", bool, False),
        chance=_chance(value),
        jitter_s=_span(value, "jitter"),
        exit_code=_exit_code(value),
        reason=_typed(value, "reason", str, ""),
    )


def _typed(value: dict[str, Any], field: str, type_: type, default: Any) -> Any:
    found = value.get(field, default)
    if not isinstance(found, type_):
        raise ValueError(f".{field}: must be a {type_.__name__}")
    return found


def _phases(value: dict[str, Any]) -> frozenset[str]:
    found: set[str] = set()
    for phase in _typed(value, "phases", list, ["Pending"]):
        if phase not in _PHASES:
            raise ValueError(f".phases: must be of {', '.join(_PHASES)}")
        found |= _PHASES[phase]
    return frozenset(found)


def _span(value: dict[str, Any], field: str) -> float:
    text = value.get(field, "0s")
    found = seconds(text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(f".{field}: must be a time span like 1m30s or 250ms")
    return found


def _chance(value: dict[str, Any]) -> float:
    found = value.get("chance", 1.0)
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 <= found <= 1:
        raise ValueError(".chance: must be a number from 0 to 1")
    return float(found)


def _exit_code(value: dict[str, Any]) -> int:
    found = value.get("exitCode", 1)
    if isinstance(found, bool) or not isinstance(found, int) or not 1 <= found <= 255:
        raise ValueError(".exitCode: must be from 1 to 255")
    return found
