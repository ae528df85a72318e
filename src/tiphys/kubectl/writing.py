"""What all commands that write share: dry-run, the field manager, validation, and how a result is told."""

from __future__ import annotations

from typing import Any

from tiphys.kubectl import output
from tiphys.kubectl.command import Context
from tiphys.kubectl.flags import Flag, UsageError
from tiphys.kubectl.resources import Target

DRY_RUN = Flag(
    "dry-run",
    "none, client (print what would be sent) or server (ask without keeping it)",
    default="none",
    bare="unchanged",
)
VALIDATE = Flag("validate", "what unknown fields are: strict (an error), warn, ignore", default="true", bare="true")
_VALIDATION = {"true": "Strict", "strict": "Strict", "warn": "Warn", "false": "Ignore", "ignore": "Ignore"}


def field_manager(name: str) -> Flag:
    return Flag("field-manager", "who owns the fields that are written", default=name)


def dry_run(context: Context) -> str:
    """`none`, `client` or `server`. Raises UsageError."""
    choice = str(context.options["dry-run"])
    if choice not in ("none", "client", "server"):
        raise UsageError(f'Invalid dry-run value ({choice}). Must be "none", "server", or "client".')
    return choice


def query(context: Context) -> dict[str, Any]:
    """The query of a write."""
    values = context.options.values
    asked: dict[str, Any] = {"fieldManager": values.get("field-manager", "kubectl")}
    if "dry-run" in values and dry_run(context) == "server":
        asked["dryRun"] = "All"
    if "validate" in values:
        choice = str(values["validate"])
        if choice not in _VALIDATION:
            raise UsageError(
                f"invalid - validate option {choice!r}; must be one of: strict (or true), warn, ignore (or false)"
            )
        asked["fieldValidation"] = _VALIDATION[choice]
    return asked


def tell(context: Context, target: Target, done: str, obj: dict[str, Any] | None = None) -> None:
    """`deployment.apps/web created`, or the object in the form that -o asks for."""
    form = context.options.values.get("output", "")
    if form and obj is not None:
        output.show(context, [obj], listed=False)
        return
    print(f"{target.shown} {done}{dry_run_suffix(context)}")


def dry_run_suffix(context: Context) -> str:
    """What a line says that tells of something which was not done."""
    mode = dry_run(context) if "dry-run" in context.options.values else "none"
    return {"none": "", "client": " (dry run)", "server": " (server dry run)"}[mode]
