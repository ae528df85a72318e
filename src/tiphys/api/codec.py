"""JSON in and out, and request bodies of every kind.

The fast path is one call into msgspec: bytes to Struct, with types checked in C. Only when that refuses is the body
read again, value by value (`codec_lenient`): what Go accepts is accepted (nulls, other time zones), what Go refuses is
refused in Go's words. Fields that no type knows and keys that stand twice are looked for separately
(`codec_strict`), because Go ignores them unless asked.

Source: staging/src/k8s.io/apimachinery/pkg/runtime/serializer/json, .../endpoints/handlers/{create,rest}.go.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any, Protocol, TypeVar, cast

import msgspec

from tiphys.api import codec_lenient, codec_strict
from tiphys.api.codec_json import SyntaxProblem, parse_json
from tiphys.api.errors import BadRequest, UnsupportedMediaType
from tiphys.api.meta.schema import Struct, decode_hook, empty_list, encode_hook, field, json_hook, proto, wire_name
from tiphys.api.meta.types import ListMeta

S = TypeVar("S", bound=Struct)
S_co = TypeVar("S_co", bound=Struct, covariant=True)

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
MEDIA_TYPES = (JSON, YAML, PROTOBUF)

_DIGITS_ALIKE = bytes.maketrans(b"123456789", b"000000000")
_LONG_NUMBER = b"0" * 19
"""What may not fit 64 bits: the decoder takes integers of any size, Go does not."""

_list_schemas: dict[type[Struct], type[Struct]] = {}

_encoder = msgspec.json.Encoder(enc_hook=json_hook)


class Target(Protocol[S_co]):
    """What a body must hold. Every `Kind` is one; subresources make their own."""

    @property
    def group(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def schema(self) -> type[S_co]: ...


def encode(obj: Any) -> bytes:
    """An object, or a plain JSON value, as compact JSON: kind, apiVersion, metadata, then the rest as declared."""
    return _encoder.encode(obj)


@cache
def _decoder(schema: type[S]) -> msgspec.json.Decoder[S]:
    return msgspec.json.Decoder(schema, dec_hook=decode_hook)


def decode(schema: type[S], data: bytes) -> S:
    """The object in `data`. Raises BadRequest with Go's text: `json: cannot unmarshal string into ...`."""
    try:
        return _decode(schema, data)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def _decode(schema: type[S], data: bytes) -> S:
    """As `decode`, but raises ValueError."""
    try:
        decoder: msgspec.json.Decoder[S] = _decoder(schema)
        return decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return codec_lenient.convert(schema, parse_json(data))


def to_json(obj: Any) -> Any:
    """An object as plain JSON values (dict, list, str, int, float, bool); nothing is shared with `obj`."""
    return msgspec.to_builtins(obj, enc_hook=encode_hook)


def from_json(schema: type[S], value: Any) -> S:
    """The object that plain JSON values describe. Raises BadRequest, as `decode`."""
    try:
        return msgspec.convert(value, schema, dec_hook=decode_hook)
    except (msgspec.ValidationError, RecursionError):
        pass
    try:
        return codec_lenient.convert(schema, value)
    except ValueError as error:
        raise BadRequest(str(error)) from None


def list_schema(schema: type[Struct]) -> type[Struct]:
    """The list type of a kind's schema: kind, apiVersion, metadata, items."""
    made = _list_schemas.get(schema)
    if made is None:
        made = _list_schemas[schema] = _make_list_schema(schema)
    return made


def _make_list_schema(schema: type[Struct]) -> type[Struct]:
    made = msgspec.defstruct(
        schema.__name__ + "List",
        [
            ("kind", str, field(default_factory=str)),
            ("api_version", str, field(default_factory=str)),
            ("metadata", Annotated[ListMeta, proto(1)], field(default_factory=ListMeta)),
            ("items", Annotated[list[schema], proto(2, required=True)], field(default_factory=empty_list)),  # type: ignore[valid-type]  # made at run time
        ],
        bases=(Struct,),
        rename=wire_name,
        kw_only=True,
        omit_defaults=True,
        gc=False,
        module=schema.__module__,
    )
    return cast("type[Struct]", made)


def decode_body(
    kind: Target[S], body: bytes, content_type: str = JSON, field_validation: str = "Warn"
) -> tuple[S, list[str]]:
    """The object in a request's body, with its type filled in, and the warnings to send along.

    `field_validation` is `Strict` (unknown and duplicate fields refuse), `Warn` (they are named in the warnings; the
    default, also for an empty text) or `Ignore`. Raises BadRequest and UnsupportedMediaType, nothing else.
    """
    custom = getattr(kind, "custom", None)
    if custom is not None:
        from tiphys.api.custom import body as bodies

        made: Any = bodies.decode_body(cast("Any", kind), custom, body, content_type, field_validation)
        return cast("tuple[S, list[str]]", made)
    media_type = content_type.partition(";")[0].strip().lower() or JSON
    if media_type == PROTOBUF:
        return _decode_protobuf(kind, body), []
    if media_type not in (JSON, YAML):
        raise UnsupportedMediaType(
            "the body of the request was in an unknown format - accepted media types include: " + ", ".join(MEDIA_TYPES)
        )
    problems: list[str] = []
    source = body
    if media_type == YAML:
        body, problems = _yaml_to_json(kind, body, field_validation)
    try:
        if _LONG_NUMBER in body.translate(_DIGITS_ALIKE):
            obj = codec_lenient.convert(kind.schema, parse_json(body))
        else:
            obj = _decode(kind.schema, body)
    except SyntaxProblem as error:
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {error}", source) from None
    except ValueError as error:
        raise _cannot_handle(kind, *_declared_type(kind, body, source), str(error)) from None
    stated = check_type(kind, obj, source)
    if field_validation == "Ignore":
        return obj, []
    problems += codec_strict.problems(kind.schema, body)
    if problems and field_validation == "Strict":
        raise _cannot_handle(kind, *stated, "strict decoding error: " + ", ".join(problems))
    return obj, problems


def check_type(kind: Target[S], obj: S, source: bytes = b"") -> tuple[str, str]:
    """Fill in `kind` and `apiVersion` where the client left them out. Raises BadRequest when they are another's.

    Returns the kind and version that the object states.
    """
    expected = f"{kind.group}/{kind.version}" if kind.group else kind.version
    stated_kind, stated_version = getattr(obj, "kind", ""), getattr(obj, "api_version", "")
    if stated_kind == kind.kind and stated_version == expected:
        return stated_kind, kind.version
    group, version = _group_version(kind, stated_version, source)
    name = stated_kind or kind.kind
    if name != kind.kind:
        raise _cannot_handle(kind, name, version, _no_conversion(kind, name, group, version))
    if (group, version) != (kind.group, kind.version):
        if not _is_registered(name, group, version):
            raise _cannot_handle(kind, name, version, _no_conversion(kind, name, group, version))
        stated = _join(group, version)
        raise BadRequest(f"the API version in the data ({stated}) does not match the expected API version ({expected})")
    target: Any = obj
    target.kind, target.api_version = kind.kind, expected
    return kind.kind, kind.version


def _group_version(kind: Target[S], text: str, source: bytes) -> tuple[str, str]:
    """Group and version of an `apiVersion`, with what is missing taken from `kind`."""
    if text.count("/") > 1:
        raise _unrecognized(kind, f"unexpected GroupVersion string: {text}", source)
    group, slash, version = text.partition("/")
    if not slash:
        group, version = "", text
    if not group and not version:
        return kind.group, kind.version
    return group, version or (kind.version if group == kind.group else "")


def _join(group: str, version: str) -> str:
    return f"{group}/{version}" if group else version


def _declared_type(kind: Target[S], body: bytes, source: bytes) -> tuple[str, str]:
    """Kind and version of a body that does not decode as a whole."""
    try:
        head = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        head = {}
    if not isinstance(head, dict):
        found = codec_lenient.go_kind(head)
        wanted = r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
        text = f"json: cannot unmarshal {found} into Go value of type {wanted}"
        raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {text}", source)
    stated_kind, stated_version = head.get("kind") or "", head.get("apiVersion") or ""
    for name, value in (("apiVersion", stated_version), ("kind", stated_kind)):
        if not isinstance(value, str):
            text = f"json: cannot unmarshal {codec_lenient.go_kind(value)} into Go struct field .{name} of type string"
            raise _unrecognized(kind, f"couldn't get version/kind; json parse error: {text}", source)
    return stated_kind or kind.kind, _group_version(kind, stated_version, source)[1]


_SCHEMES = {
    "apiextensions.k8s.io": "k8s.io/apiextensions-apiserver/pkg/apiserver/apiserver.go:55",
    "apiregistration.k8s.io": "k8s.io/kube-aggregator/pkg/apiserver/scheme/scheme.go:28",
}
"""Groups that upstream's server keeps in schemes of their own, which its messages name."""


_UNSERVED = {
    "admissionregistration.k8s.io": ("v1beta1", "v1alpha1"), "apps": ("v1beta1", "v1beta2"),
    "authentication.k8s.io": ("v1beta1",), "authorization.k8s.io": ("v1beta1",), "batch": ("v1beta1",),
    "certificates.k8s.io": ("v1beta1", "v1alpha1"), "coordination.k8s.io": ("v1beta1", "v1alpha2"),
    "discovery.k8s.io": ("v1beta1",), "events.k8s.io": ("v1beta1",), "extensions": ("v1beta1",),
    "flowcontrol.apiserver.k8s.io": ("v1beta1", "v1beta2", "v1beta3"), "networking.k8s.io": ("v1beta1",),
    "node.k8s.io": ("v1beta1", "v1alpha1"), "policy": ("v1beta1",),
    "rbac.authorization.k8s.io": ("v1beta1", "v1alpha1"), "resource.k8s.io": ("v1beta1", "v1beta2", "v1alpha3"),
    "scheduling.k8s.io": ("v1beta1",), "storage.k8s.io": ("v1beta1", "v1alpha1"),
}  # fmt: skip
"""Versions that upstream can read and does not serve, unless it is told to: its messages tell them from nonsense."""


def _is_registered(name: str, group: str, version: str) -> bool:
    """Whether upstream's server knows such a kind, or a list of one, served or not."""
    from tiphys.api import kinds

    if version in _UNSERVED.get(group, ()):
        return any(k.group == group and name in (k.kind, k.list_kind) for k in getattr(kinds, "KINDS", ()))
    return any(
        (k.group, k.version) == (group, version) and name in (k.kind, k.list_kind) for k in getattr(kinds, "KINDS", ())
    )


def _no_conversion(kind: Target[S], name: str, group: str, version: str) -> str:
    if _is_registered(name, group, version):
        return f"converting ({version}.{name}) to ({kind.group or 'core'}.{kind.kind}): unknown conversion"
    scheme = _SCHEMES.get(kind.group, "pkg/api/legacyscheme/scheme.go:30")
    return f'no kind "{name}" is registered for version "{_join(group, version)}" in scheme "{scheme}"'


def _cannot_handle(kind: Target[S], stated_kind: str, version: str, why: str) -> BadRequest:
    return BadRequest(f'{stated_kind} in version "{version}" cannot be handled as a {kind.kind}: {why}')


def _unrecognized(kind: Target[S], why: str, body: bytes) -> BadRequest:
    shown = "<empty>"
    if body:
        shown = body[:30].decode("utf-8", "replace") if body[:1] == b"{" else body[:30].hex()
        shown += " ..." if len(body) > 30 else ""
    return BadRequest(f"the object provided is unrecognized (must be of type {kind.kind}): {why} ({shown})")


def _yaml_to_json(kind: Target[S], body: bytes, field_validation: str) -> tuple[bytes, list[str]]:
    from tiphys.api import codec_yaml

    try:
        value, duplicates = codec_yaml.parse_yaml(body)
        if field_validation == "Warn":
            duplicates = [line.strip() for text in duplicates for line in text.splitlines()[1:]]
        return msgspec.json.encode(value), [] if field_validation == "Ignore" else duplicates
    except ValueError as error:
        raise _unrecognized(kind, str(error), body) from None


def _decode_protobuf(kind: Target[S], body: bytes) -> S:
    from tiphys.api import protobuf

    try:
        stated_version, stated_kind, raw = protobuf.open_envelope(body)
        obj: S = protobuf.decode(kind.schema, raw)
    except ValueError as error:
        raise _unrecognized(kind, str(error), body) from None
    target: Any = obj
    target.kind, target.api_version = stated_kind, stated_version
    check_type(kind, obj, body)
    return obj


def parse_body(body: bytes, content_type: str) -> Any:
    """A patch's body as plain JSON values; YAML where the type ends in `yaml`. Raises BadRequest."""
    try:
        if content_type.partition(";")[0].strip().lower().endswith("yaml"):
            from tiphys.api import codec_yaml

            return codec_yaml.parse_yaml(body)[0]
        return parse_json(body)
    except ValueError as error:
        raise BadRequest(str(error)) from None


__all__ = [
    "JSON",
    "MEDIA_TYPES",
    "PROTOBUF",
    "YAML",
    "Target",
    "check_type",
    "decode",
    "decode_body",
    "encode",
    "from_json",
    "list_schema",
    "parse_body",
    "to_json",
]
