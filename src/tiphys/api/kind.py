"""A kind, declared once.

One `Kind` value per resource says everything the rest of the system derives: REST routes, discovery, OpenAPI,
tables, selectors, apply and merge rules (through the schema), command-line names, informers, RBAC verbs.
Nothing else in `src` spells a plural.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tiphys.api.errors import FieldError
from tiphys.api.meta.resource import Resource
from tiphys.api.names import NameRule, dns_subdomain_name

if TYPE_CHECKING:
    from tiphys.api.custom.schema import CustomSchema

R = TypeVar("R", bound=Resource)

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class Column(msgspec.Struct, Generic[R], frozen=True):
    """A column of `kubectl get`. `cell` must answer for any object, however empty.

    Source: pkg/printers/internalversion/printers.go.
    """

    name: str
    type: str
    """`string`, `integer`, `number`, `boolean`, `date` (shown as an age) or `timestamp` (a date shown as it is)."""
    cell: Callable[[R], object]
    help: str = ""
    format: str = ""
    """`name` for the first column."""
    wide: bool = False
    """Shown by `-o wide` only (priority 1)."""
    priority: int = 0
    """Of custom columns, which may say more than 0 and 1."""
    cell_at: Callable[[R, datetime], object] | None = None
    """Where given, used instead of `cell`: texts that tell how long ago something was need the present time."""


class ScalePaths(msgspec.Struct, frozen=True):
    """Where a scalable kind keeps its count."""

    get_replicas: Callable[[Any], int]
    set_replicas: Callable[[Any, int], None]
    """Mutates its argument, which is a copy."""
    get_status_replicas: Callable[[Any], int]
    get_selector: Callable[[Any], str]
    """The label selector in text form."""
    spec_path: tuple[str, ...] = ("spec", "replicas")
    """Where the count is in the object's JSON: whoever sets a scale owns that field."""


class Subresource(msgspec.Struct, frozen=True):
    """A path below an object, as discovery shows it. Behaviour is in `apiserver/subresources/<name>.py`."""

    name: str
    verbs: tuple[str, ...]
    kind: str = ""
    """The kind that travels; empty: the parent's."""
    group: str = ""
    version: str = ""
    """Group and version of `kind`, where they differ from the parent's."""


def _nothing(_obj: Any) -> None:
    return None


def _no_errors(_new: Any, _old: Any) -> Iterator[FieldError]:
    return iter(())


def _no_change(_new: Any, _old: Any) -> None:
    return None


class Kind(msgspec.Struct, Generic[R], frozen=True):
    """Everything the API says of one resource.

    The callables are pure (no I/O, no clock). `default`, `prepare` and `prepare_status` mutate only their first
    argument. Order on create: decode, `prepare(new, None)`, `default`, admission, `validate(new, None)`, store; on
    update: `prepare(new, old)`, `default`, admission, `validate(new, old)`; on `/status`: `prepare_status(new, old)`,
    `validate_status(new, old)`.
    """

    group: str
    version: str
    kind: str
    plural: str
    schema: type[R]
    namespaced: bool = True
    singular: str = ""
    """Empty: `kind` in lower case."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    """`("create",)` makes a review: answered, never stored (its handler is in `apiserver/reviews`)."""
    subresources: tuple[Subresource, ...] = ()
    scale: ScalePaths | None = None
    default: Callable[[R], None] = _nothing
    """Fills what the user left out. Idempotent."""
    validate: Callable[[R, R | None], Iterable[FieldError]] = _no_errors
    """All errors of `new`, with `old` given on update. Object metadata is checked by the registry, not here."""
    prepare: Callable[[R, R | None], None] = _no_change
    """The strategy: drops or keeps what this verb may not change (status on create and update)."""
    prepare_status: Callable[[R, R], None] = _no_change
    """For `/status`: `new` arrives whole and leaves with everything but its status taken from `old`."""
    stamp: Callable[[R, R | None, str], None] | None = None
    """Sets the times that the server itself notes, beside those in the metadata: (new, old, now in RFC 3339). Called
    after `prepare` and `prepare_status`; mutates only its first argument."""
    validate_status: Callable[[R, R | None], Iterable[FieldError]] = _no_errors
    generation: bool = False
    """`metadata.generation` counts changes of what is neither metadata nor status."""
    fields: Mapping[str, Callable[[R], str]] = {}
    """Field selectors beside `metadata.name` and `metadata.namespace`."""
    indexed_field: str = ""
    """One of `fields` that selects few out of many: found without looking at all."""
    columns: tuple[Column[R], ...] = ()
    """Empty: NAME and AGE."""
    storage_name: str = ""
    """The key's first segment under /registry (`services/specs`, `minions`, as in etcd upstream); empty: `plural`."""
    stored_as: Kind[Any] | None = None
    """The version in which objects are kept, where it is another one; both have the same `storage_name`."""
    to_stored: Callable[[R], Any] | None = None
    """An object in the stored version. It may share parts with its argument. None: the versions differ in name only."""
    from_stored: Callable[[Any], R] | None = None
    """A stored object in this version, sharing parts. None: the versions differ in name only."""
    graceful_delete: bool = False
    """Deletion may take time (pods): the first DELETE sets `deletionTimestamp`."""
    orphans: bool = False
    """A DELETE that says nothing of dependents leaves them be."""
    name_rule: NameRule = dns_subdomain_name
    """What names of this kind look like (`tiphys.api.names`)."""
    generate_name_suffix: int = 5
    allow_create_on_update: bool = False
    allow_unconditional_update: bool = True
    list_kind_name: str = ""
    """Empty: `kind` with `List` after it."""
    custom: CustomSchema | None = None
    """Of a kind that came at run time: what its definition says of the objects, which are then `CustomObject`s."""
    family: Callable[[R], Hashable | None] | None = None
    """Objects with the same answer are mostly equal: decoded, they hold what is equal together. None: apart."""
    keep_decoded: bool = True
    """Whether objects stay decoded once they were; large ones that are seldom looked at need not."""
    deprecation: str = ""
    """A warning for every request of this version."""

    def __post_init__(self) -> None:
        if self.plural != self.plural.lower() or not self.plural:
            raise ValueError(f"{self.kind}: plural must be lower case")
        if any(s.name == "scale" for s in self.subresources) != (self.scale is not None):
            raise ValueError(f"{self.kind}: a scale subresource needs scale paths, and the reverse")

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_resource(self) -> str:
        """`deployments.apps`, `pods`: how errors and RBAC messages name it."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def singular_name(self) -> str:
        return self.singular or self.kind.lower()

    @property
    def list_kind(self) -> str:
        return self.list_kind_name or self.kind + "List"

    @property
    def storage_key(self) -> str:
        """What versions of one stored resource have in common: the key's first segment under /registry."""
        return self.storage_name or self.plural

    @property
    def stored(self) -> bool:
        """Whether objects of this kind are kept; reviews are only answered."""
        return "get" in self.verbs

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The REST path: `/apis/apps/v1/namespaces/default/deployments/web/scale`."""
        head = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        parts = [head]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def __repr__(self) -> str:
        return f"<{self.api_version} {self.kind}>"

    def __hash__(self) -> int:
        return hash((self.group, self.version, self.kind))

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Kind)
            and (self.group, self.version, self.kind) == (other.group, other.version, other.kind)
        )


def new(kind: Kind[R], name: str, namespace: str = "", **fields: Any) -> R:
    """An object of `kind` with its type and metadata filled in; `fields` go to the top level (`spec=...`)."""
    obj = kind.schema(kind=kind.kind, api_version=kind.api_version, **fields)
    obj.metadata.name = name
    obj.metadata.namespace = namespace
    return obj
