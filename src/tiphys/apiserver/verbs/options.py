"""Query parameters as options, with upstream's complaints.

Source: staging/src/k8s.io/apimachinery/pkg/apis/meta/v1/validation, .../meta/internalversion/validation.
"""

from __future__ import annotations

import random
from collections.abc import Mapping

from msgspec.structs import replace

from tiphys.api import errors
from tiphys.api.errors import ApiError, BadRequest, FieldError
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.chain.exchange import Exchange
from tiphys.apiserver.chain.requestinfo import is_true
from tiphys.apiserver.registry.interface import Admission, Form, ListOptions, WatchOptions, WriteOptions

__all__ = [
    "delete_options",
    "invalid_options",
    "list_options",
    "manager_of",
    "number",
    "one",
    "replace",
    "watch_options",
    "watch_timeout_s",
    "write_options",
]

Query = Mapping[str, tuple[str, ...]]
_MANAGER_LENGTH = 128
_VALIDATIONS = ("", "Ignore", "Strict", "Warn")
_PROPAGATIONS = ("Background", "Foreground", "Orphan")


def one(query: Query, name: str) -> str:
    values = query.get(name)
    return values[0] if values else ""


def number(query: Query, name: str) -> int | None:
    """Raises BadRequest in Go's words."""
    text = one(query, name)
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None
    if not -(2**63) <= value < 2**63:
        raise BadRequest(f'strconv.ParseInt: parsing "{text}": value out of range')
    return value


def list_options(query: Query) -> ListOptions:
    """Raises BadRequest."""
    if not query:
        return _EVERYTHING
    number(query, "timeoutSeconds")  # of no use to a list, but refused where it is no number
    if query.get("sendInitialEvents"):
        found = [errors.forbidden("sendInitialEvents", "sendInitialEvents is forbidden for list")]
        raise errors.invalid_object("meta.k8s.io", "ListOptions", "", found)
    return ListOptions(
        label_selector=one(query, "labelSelector"),
        field_selector=one(query, "fieldSelector"),
        limit=max(number(query, "limit") or 0, 0),
        continue_token=one(query, "continue"),
        resource_version=one(query, "resourceVersion"),
        resource_version_match=one(query, "resourceVersionMatch"),
    )


_EVERYTHING = ListOptions()


def watch_options(query: Query, form: Form | None, *, name: str = "") -> WatchOptions:
    """`name`: a watch of one object by its path. Raises BadRequest."""
    selector = one(query, "fieldSelector")
    if name and f"metadata.name={name}" not in selector.split(","):
        selector = ",".join(part for part in (selector, f"metadata.name={name}") if part)
    initial = query.get("sendInitialEvents")
    return WatchOptions(
        label_selector=one(query, "labelSelector"),
        field_selector=selector,
        resource_version=one(query, "resourceVersion"),
        resource_version_match=one(query, "resourceVersionMatch"),
        allow_bookmarks=is_true(query.get("allowWatchBookmarks", ())),
        send_initial_events=is_true(initial) if initial else None,
        form=form,
    )


def watch_timeout_s(query: Query, least_s: float) -> float:
    """The client's word, or between `least_s` and twice as much, so that watches do not all end at once."""
    stated = number(query, "timeoutSeconds")
    if stated:
        return float(max(stated, 0))
    return least_s * (1 + random.random())  # noqa: S311 # spreads load, protects nothing


def write_options(
    exchange: Exchange, admission: Admission, verb: str, *, subresource: str = "", apply: bool = False
) -> WriteOptions:
    """`verb` is Create, Update, Patch or Delete: the options' kind in messages. Raises Invalid."""
    query = exchange.info.query
    if not query:
        return WriteOptions(
            user=exchange.user, field_manager="" if apply else manager_of(exchange), subresource=subresource,
            admission=admission, warnings=exchange.warnings, annotations=exchange.annotations,
        )  # fmt: skip
    found = list(_dry_run_errors(query.get("dryRun", ())))
    manager = one(query, "fieldManager")
    if manager:
        found += _manager_errors(manager)
    validation = one(query, "fieldValidation") or "Warn"
    if validation not in _VALIDATIONS:
        found.append(errors.not_supported("fieldValidation", validation, _VALIDATIONS))
    if apply and not manager:
        found.append(errors.required("fieldManager", "is required for apply patch"))
    if verb == "Patch" and not apply and is_true(query.get("force", ())):
        found.append(errors.forbidden("force", "may not be specified for non-apply patch"))
    if found:
        raise invalid_options(verb, found)
    return WriteOptions(
        user=exchange.user,
        field_manager=manager or manager_of(exchange),
        dry_run=bool(query.get("dryRun")),
        subresource=subresource,
        admission=admission,
        field_validation=validation,
        warnings=exchange.warnings,
        annotations=exchange.annotations,
    )


def invalid_options(verb: str, found: list[FieldError]) -> ApiError:
    return errors.invalid_object("meta.k8s.io", f"{verb}Options", "", found)


def _dry_run_errors(values: tuple[str, ...] | list[str]) -> list[FieldError]:
    if all(value == "All" for value in values):
        return []
    return [errors.FieldError(
        "FieldValueNotSupported", "dryRun",
        f'Unsupported value: {errors.shown(list(values))}: supported values: "All"',
    )]  # fmt: skip


def _manager_errors(manager: str) -> list[FieldError]:
    found = []
    if len(manager.encode()) > _MANAGER_LENGTH:
        found.append(errors.too_long("fieldManager", _MANAGER_LENGTH))
    for index, letter in enumerate(manager):
        if not letter.isprintable():
            why = f"invalid character U+{ord(letter):04X} (at position {index})"
            found.append(errors.invalid("fieldManager", manager, why))
    return found


def manager_of(exchange: Exchange) -> str:
    """The User-Agent's first word, cut to what a manager's name may be: `kubectl/v1.36 ...` is `kubectl`."""
    agent = exchange.headers.get("User-Agent", "").split("/", 1)[0]
    return "".join(letter for letter in agent if letter.isprintable())[:_MANAGER_LENGTH] or "unknown"


def delete_options(query: Query, body: DeleteOptions | None) -> DeleteOptions:
    """From the body if there is one, else from the query. Raises Invalid, BadRequest."""
    options = body or DeleteOptions(
        grace_period_seconds=number(query, "gracePeriodSeconds"),
        orphan_dependents=is_true(query["orphanDependents"]) if query.get("orphanDependents") else None,
        propagation_policy=one(query, "propagationPolicy") or None,
        dry_run=list(query.get("dryRun", ())),
    )
    if body is not None and query.get("dryRun") and not options.dry_run:
        options.dry_run = list(query["dryRun"])
    found = _dry_run_errors(options.dry_run)
    policy = options.propagation_policy
    if policy is not None and options.orphan_dependents is not None:
        found.append(
            errors.invalid("propagationPolicy", policy, "orphanDependents and deletionPropagation cannot be both set")
        )
    if policy is not None and policy not in _PROPAGATIONS:
        found.append(errors.not_supported("propagationPolicy", policy, (*_PROPAGATIONS, "nil")))
    if found:
        raise invalid_options("Delete", found)
    return options
