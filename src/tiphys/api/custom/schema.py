"""What one version of a definition says of its objects, compiled when someone first needs it.

Many definitions are installed and few of them used: until then only the schema's bytes are kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import msgspec

from tiphys.api.custom.object import CustomObject
from tiphys.api.errors import FieldError, required
from tiphys.api.meta.schema import encode_hook
from tiphys.api.structural import lists, objectmeta, pruning
from tiphys.api.structural.correlation import Correlation
from tiphys.api.structural.defaulting import apply_defaults, has_defaults
from tiphys.api.structural.schema import Structural

if TYPE_CHECKING:
    from tiphys.api.apply.form import Form
    from tiphys.api.apply.typed import Node
    from tiphys.api.structural.rules import RuleTree
    from tiphys.api.structural.values import Check

_STOPS = frozenset(
    {"FieldValueNotSupported", "FieldValueRequired", "FieldValueTooLong", "FieldValueTooMany", "FieldValueTypeInvalid"}
)
"""With such errors the rules are not asked: they would trip over what is wrong already."""
_NOT_CHECKED = FieldError(
    "FieldValueInvalid",
    "<nil>",
    "Invalid value: null: some validation rules were not checked because the object was invalid; correct the existing "
    "errors to complete validation",
)


class CustomSchema:
    """The schema of one version. Parts are made on first use and kept; nothing here changes afterwards."""

    def __init__(self, raw: bytes) -> None:
        """`raw`: the JSON of `openAPIV3Schema`."""
        self.raw = raw
        self.api_version = ""
        self.has_status = False
        self.siblings: Mapping[str, CustomSchema] = {}
        """All versions by apiVersion."""

    @cached_property
    def form(self) -> Form:
        """How such objects are tracked. Between versions, fields of the same name are taken for the same."""
        from tiphys.api.apply.form import Form, View

        def view(api_version: str) -> View | None:
            other = self.siblings.get(api_version)
            return None if other is None else View(other.apply_root, lambda value: value, lambda value: value)

        return Form.of_custom(self.apply_root, self.api_version, has_status=self.has_status, views=view)

    @cached_property
    def structural(self) -> Structural:
        return Structural(msgspec.json.decode(self.raw))

    @cached_property
    def _check(self) -> Check:
        from tiphys.api.structural.values import Check

        return Check(self.structural.raw)

    @cached_property
    def _status_check(self) -> Check | None:
        from tiphys.api.structural.values import Check

        status = self.structural.properties.get("status")
        return None if status is None else Check(status.raw)

    @cached_property
    def rules(self) -> RuleTree | None:
        """The compiled x-kubernetes-validations; None where there are none."""
        if b"x-kubernetes-validations" not in self.raw:
            return None
        from tiphys.api.structural.rules import RuleTree

        return RuleTree.of(self.structural.as_embedded())

    @cached_property
    def has_defaults(self) -> bool:
        return b'"default"' in self.raw and has_defaults(self.structural)

    @cached_property
    def apply_root(self) -> Node:
        """How server-side apply walks such objects."""
        from tiphys.api.custom.applying import root_node

        return root_node(self.structural)

    # Reading.

    def coerce(self, value: dict[str, Any], *, keep_nulls: bool = False) -> list[str]:
        """Prune and tidy a whole object's JSON, in place; returns the paths of fields that nobody knows.

        The object's own metadata is not looked at. Raises ValueError for embedded metadata that cannot be.
        """
        unknown = pruning.prune(value, self.structural, is_root=True)
        if not keep_nulls:
            pruning.drop_nulls(value, self.structural)
        extra: list[str] = []
        problem = objectmeta.coerce(value, self.structural, "", extra)
        if problem is not None:
            raise ValueError(str(problem))
        return [*unknown, *sorted(extra)]

    def default(self, obj: CustomObject) -> None:
        """Fill in what was left out, in place."""
        if self.has_defaults:
            apply_defaults(obj.content, self.structural)

    # Validation.

    def errors(self, new: CustomObject, old: CustomObject | None) -> Iterator[FieldError]:
        """Every complaint about a new object, or about the change of an old one."""
        value = plain(new)
        before = None if old is None else plain(old)
        correlation = None if before is None else Correlation(value, before, self.structural)
        found = self._check.errors(value, "", correlation)
        found += objectmeta.embedded_errors(value, self.structural)
        if before is None or not list(lists.list_errors(before, self.structural)):
            found += lists.list_errors(value, self.structural)
        yield from found
        # Who has no name is told so by others, and that stops the rules as well.
        unnamed = [] if new.metadata.name else [required("metadata.name")]
        yield from self._rule_errors(value, before, correlation, [*found, *unnamed])

    def status_errors(self, new: CustomObject, old: CustomObject) -> Iterator[FieldError]:
        """Every complaint about a change through `/status`."""
        value, before = plain(new), plain(old)
        correlation = Correlation(value, before, self.structural)
        found: list[FieldError] = []
        if self._status_check is not None and "status" in value:
            errors = self._status_check.errors(value["status"], "", correlation.key("status"))
            found += [_below_status(error) for error in errors]
        if not list(lists.list_errors(before, self.structural)):
            found += lists.list_errors(value, self.structural)
        yield from found
        yield from self._rule_errors(value, before, correlation, found)

    def _rule_errors(
        self,
        value: dict[str, Any],
        before: dict[str, Any] | None,
        correlation: Correlation | None,
        found: Iterable[FieldError],
    ) -> Iterator[FieldError]:
        if self.rules is None:
            return
        if any(error.reason in _STOPS for error in found):
            yield _NOT_CHECKED
        else:
            yield from self.rules.errors(value, before, correlation)


def plain(obj: CustomObject) -> dict[str, Any]:
    """The object as JSON; the content is the object's own."""
    metadata = msgspec.to_builtins(obj.metadata, enc_hook=encode_hook)
    return {"kind": obj.kind, "apiVersion": obj.api_version, "metadata": metadata, **obj.content}


def _below_status(error: FieldError) -> FieldError:
    path = "status" if error.path == "<nil>" else f"status.{error.path}"
    return FieldError(error.reason, path, error.message)
