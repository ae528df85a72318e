"""Stages and answers out of a YAML file (`--stages FILE`). The form is in docs/simulation.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tiphys.simulate.fields import Fields
from tiphys.simulate.kubelet_api.answers import Answers
from tiphys.simulate.kubelet_api.answers_file import READERS
from tiphys.simulate.lifecycle import BECOMES, DEFAULT_STAGES, Stage

_PHASES: dict[str, set[str]] = {
    "Pending": {"", "Pending"}, "Running": {"Running"}, "Unknown": {"Unknown"}, "Succeeded": {"Succeeded"},
    "Failed": {"Failed"},
}  # fmt: skip
_DEFAULTS = Answers()

T = TypeVar("T")


@dataclass(frozen=True)
class Behaviour:
    """What a file says, and after it what is built in, for whatever the file's is not for."""

    stages: tuple[Stage, ...] = DEFAULT_STAGES
    answers: Answers = _DEFAULTS


class StagesError(ValueError):
    """The file cannot be used; the message names it, the stage and the field."""


def load(path: Path, seed: int = 0) -> Behaviour:
    """What the file says. Raises StagesError. `seed` is that of the answers' chance."""
    try:
        return parse(path.read_text(encoding="utf-8"), str(path), seed)
    except OSError as error:
        raise StagesError(f"{path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise StagesError(f"{path}: {error}") from error


def parse(text: str, path: str, seed: int = 0) -> Behaviour:
    """The same for its text; `path` is what errors call it."""
    import yaml

    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise StagesError(f"{path}: {' '.join(str(error).split())}") from error
    if not isinstance(document, dict) or not document.keys() & {"stages", *READERS}:
        raise StagesError(f"{path}: there must be a list called `stages`, or one of {', '.join(READERS)}")
    for key in document:
        if key != "stages" and key not in READERS:
            raise StagesError(f"{path}: {key}: unknown field")
    stages = _listed(path, document, "stages", _stage)
    names = [stage.name for stage in stages]
    for number, name in enumerate(names):
        if name in names[:number]:
            raise StagesError(f"{path}: stages[{number}].name: Duplicate value: {name!r}")
    rules = {key: (*_listed(path, document, key, READERS[key]), *getattr(_DEFAULTS, key)) for key in READERS}
    return Behaviour((*stages, *DEFAULT_STAGES), Answers(**rules, seed=seed))


def _listed(path: str, document: dict[str, Any], key: str, read: Callable[[Fields], T]) -> list[T]:
    listed = document.get(key, [])
    if not isinstance(listed, list):
        raise StagesError(f"{path}: {key}: must be a list")
    found = []
    for number, value in enumerate(listed):
        try:
            if not isinstance(value, dict):
                raise ValueError(": must be a mapping")
            fields = Fields(value, number)
            found.append(read(fields))
            fields.all_known()
        except ValueError as error:
            raise StagesError(f"{path}: {key}[{number}]{error}") from None
    return found


def _stage(fields: Fields) -> Stage:
    deleting = fields.flag("deleting", default=False)
    return Stage(
        name=fields.text("name", f"stage-{fields.number}"),
        phases=frozenset().union(*(_PHASES[phase] for phase in fields.texts("phases", ["Pending"], among=_PHASES))),
        deleting=deleting,
        becomes=fields.text("becomes", None, among=BECOMES),
        delay_s=fields.span("after", 0.0),
        delay_annotation=fields.text("afterAnnotation", ""),
        within_grace=fields.flag("withinGrace", default=deleting),
        after_hooks=fields.flag("afterHooks", default=deleting),
        labels=fields.labels("labels"),
        ready=fields.flag("ready", default=None),
        chance=fields.share("chance", 1.0),
        jitter_s=fields.span("jitter", 0.0),
        exit_code=fields.whole("exitCode", 1, least=1, most=255),
        reason=fields.text("reason", ""),
    )
