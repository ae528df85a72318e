"""How a type is declared: one `Struct` per object, one `proto(...)` per field.

From these declarations everything else is derived: JSON decoding and type checks (msgspec, in C), the protobuf
codec, OpenAPI documents, strategic-merge and apply rules. A declaration reads

    containers: Annotated[list[Container], proto(2, merge_key="name", list_type="map", list_map_keys=("name",))] = []

Rules that hold for every declaration:

* Every field has a default, because Go decodes a missing field to its zero value; "required" is validation's word.
* A field at its default is not written. A field that Go writes even when empty is declared `field(default_factory=str)`
  (`bool`, `int`, `empty_list`, a nested struct): msgspec omits defaults only for plain values.
* `X | None = None` mirrors a Go pointer. Times are `Time | None`, in RFC 3339 text, as they travel.
* Objects that came out of a cache are shared: never mutate them. Use `copy_of` first.

Source: the Go types under staging/src/k8s.io/api of Kubernetes v1.36 (names, numbers and markers are facts of the API).
"""

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Self, TypeAlias, TypeVar, cast

import msgspec
from msgspec import field

__all__ = [
    "FieldsV1",
    "Int32",
    "IntOrString",
    "JSONObject",
    "MicroTime",
    "Proto",
    "Quantity",
    "Struct",
    "Time",
    "copy_of",
    "decode_hook",
    "empty_list",
    "encode_hook",
    "field",
    "json_hook",
    "proto",
    "wire_name",
]

_ACRONYMS = {
    "ip": "IP", "ips": "IPs", "id": "ID", "ids": "IDs", "pid": "PID", "ipc": "IPC", "cidr": "CIDR", "cidrs": "CIDRs",
    "uri": "URI", "url": "URL", "urls": "URLs", "uid": "UID", "gid": "GID", "dns": "DNS", "api": "API", "os": "OS",
    "fqdn": "FQDN", "wwns": "WWNs", "kms": "KMS", "crl": "CRL", "http": "HTTP", "tls": "TLS", "ca": "CA",
}  # fmt: skip


def wire_name(python_name: str) -> str:
    """The JSON name of a field: `cluster_ips` is `clusterIPs`. Exceptions give `field(name=...)`."""
    first, *rest = python_name.rstrip("_").split("_")
    return first + "".join(_ACRONYMS.get(word, word.capitalize()) for word in rest)


class Struct(msgspec.Struct, kw_only=True, omit_defaults=True, rename=wire_name, gc=False):
    """The base of every API type. `gc=False`: objects are trees, never cycles."""


class Proto(msgspec.Struct, frozen=True):
    """What the API says of a field beyond its type. Make it with `proto`."""

    path: tuple[int, ...]
    """Field number; more than one where Go embeds a struct that JSON inlines (`Volume.secret` is 2 then 6)."""
    required: bool = False
    """Listed under `required` in OpenAPI."""
    merge_key: str = ""
    """Strategic merge: list items are matched by this field."""
    merge: bool = False
    """Strategic merge: a list of scalars that is united instead of replaced."""
    replace: bool = False
    """Strategic merge: an object that is replaced as a whole."""
    retain_keys: bool = False
    """Strategic merge: `$retainKeys` is understood here."""
    list_type: str = ""
    """Apply: `map`, `set` or `atomic` (empty is atomic)."""
    list_map_keys: tuple[str, ...] = ()
    """Apply: the keys of a `map` list."""
    atomic: bool = False
    """Apply: this struct or map has one owner as a whole."""
    gate: str = ""
    """The feature gate without which the field is dropped when written, unless the stored object has it."""


def proto(*path: int, **rules: Any) -> Proto:
    """Declare a field's protobuf number (or path) and its merge rules; the words are those of `Proto`."""
    return Proto(path, **rules)


def empty_list() -> list[Any]:
    """A default for lists that are written even when empty (`[]`, where Go would write `null`)."""
    return []


class Quantity(str):
    """A resource amount in canonical form (`500m`, `1Gi`): text that compares equal when the wire text is equal.

    Parsing and arithmetic are in `tiphys.base.quantity`. Decoding canonicalises, so `0.5` is stored as `500m`.
    """

    __slots__ = ()


class FieldsV1(str):
    """A set of fields, as the JSON text of its object: a fifth of what the object would take in memory.

    Every object bears some, most are alike, and few are ever looked into.
    """

    __slots__ = ()

    @classmethod
    def of(cls, fields: Mapping[str, Any]) -> Self:
        """Equal sets share one text, as long as they are not too many."""
        made = cls(_to_text(fields).decode())
        if len(_sets) >= _SETS_MAX:
            _sets.clear()
        found: Self = _sets.setdefault(made, made)
        return found

    @property
    def fields(self) -> dict[str, Any]:
        """The object. Shared: never change it."""
        return _fields_of(self)


_SETS_MAX = 1024
_sets: dict[str, Any] = {}
_to_text = msgspec.json.Encoder().encode


@lru_cache(256)
def _fields_of(text: FieldsV1) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(text.encode())
    return fields


Int32: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**31), le=2**31 - 1)]
IntOrString: TypeAlias = int | str
_DATE = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
Time: TypeAlias = Annotated[str, msgspec.Meta(pattern=rf"^{_DATE}Z$", extra={"format": "time"})]
"""RFC 3339, seconds, UTC: `2026-01-02T03:04:05Z`. Other offsets and fractions are normalised by `api.codec`."""
MicroTime: TypeAlias = Annotated[str, msgspec.Meta(pattern=rf"^{_DATE}\.\d{{6}}Z$", extra={"format": "microtime"})]
"""RFC 3339, microseconds, UTC: `2026-01-02T03:04:05.000000Z`."""
JSONObject: TypeAlias = dict[str, Any]

_S = TypeVar("_S", bound=msgspec.Struct)


def decode_hook(wanted: type, value: object) -> object:
    """msgspec's `dec_hook` for every decoder of API types. Raises ValueError with upstream's words."""
    if wanted is Quantity:
        from tiphys.base.quantity import canonical

        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return Quantity(canonical(str(value)))
        raise ValueError("quantities must be a string or a number")
    if wanted is FieldsV1:
        if isinstance(value, FieldsV1):
            return value
        if isinstance(value, dict):
            return FieldsV1.of(value)
        raise ValueError("fields must be an object")
    from_plain = getattr(wanted, "from_plain", None)
    if from_plain is not None:
        return from_plain(value)
    raise NotImplementedError(wanted)


def encode_hook(value: object) -> object:
    """msgspec's `enc_hook` for every encoder of API types that has no better one."""
    if isinstance(value, Quantity):
        return str.__str__(value)
    if isinstance(value, FieldsV1):
        return value.fields
    to_plain = getattr(value, "to_plain", None)
    if to_plain is not None:
        return to_plain()
    raise NotImplementedError(type(value))


def json_hook(value: object) -> object:
    """The same for encoders of JSON: what is JSON already passes as it is."""
    return msgspec.Raw(value.encode()) if isinstance(value, FieldsV1) else encode_hook(value)


def _copy_hook(value: object) -> object:
    return str.__str__(value) if isinstance(value, FieldsV1) else encode_hook(value)


def _recopied(wanted: type, value: Any) -> object:
    return wanted(value)


_encoder = msgspec.msgpack.Encoder(enc_hook=_copy_hook)
_decoders: dict[type, msgspec.msgpack.Decoder[Any]] = {}


def copy_of(obj: _S) -> _S:
    """A deep copy that may be mutated. About 30 us for a 5 KB pod."""
    kind = type(obj)
    decoder = _decoders.get(kind)
    if decoder is None:
        if (custom := getattr(obj, "copied", None)) is not None:
            return cast("_S", custom())  # a custom object, which is no struct
        decoder = _decoders[kind] = msgspec.msgpack.Decoder(kind, dec_hook=_recopied)
    copied: _S = decoder.decode(_encoder.encode(obj))
    return copied
