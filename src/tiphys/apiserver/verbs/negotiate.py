"""Which shape of answer the client wants: JSON, YAML or protobuf; the object, a table or its metadata only.

Source: staging/src/k8s.io/apiserver/pkg/endpoints/handlers/negotiation/negotiate.go.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import msgspec

from tiphys.api.codec import JSON, MEDIA_TYPES, PROTOBUF, YAML
from tiphys.api.errors import NotAcceptable
from tiphys.api.kind import Kind
from tiphys.apiserver.chain.exchange import Exchange

_META = "meta.k8s.io"
_SHORT = {JSON: "json", YAML: "yaml", PROTOBUF: "protobuf"}
PARTIAL = "PartialObjectMetadata"
_STREAMS = (f"{JSON};stream=watch", f"{PROTOBUF};stream=watch")
_PRETTY_AGENTS = ("curl", "Wget", "Mozilla/5.0")


class Media(msgspec.Struct, frozen=True):
    """One negotiated shape."""

    format: str = "json"
    """`json`, `yaml` or `protobuf`."""
    transform: str = ""
    """`Table`, `PartialObjectMetadata` or nothing."""
    version: str = "v1"
    """Of meta.k8s.io, for transforms: `v1` or `v1beta1`."""
    of_list: bool = False
    """Whether the metadata of a list was asked for: `PartialObjectMetadataList`."""

    @property
    def content_type(self) -> str:
        return {"json": JSON, "yaml": YAML}.get(self.format, PROTOBUF)

    @property
    def plain(self) -> bool:
        """Whether stored bytes are the answer."""
        return self.format == "json" and not self.transform

    @property
    def api_version(self) -> str:
        return f"{_META}/{self.version}"


DEFAULT = Media()


def _refused(accepted: tuple[str, ...]) -> NotAcceptable:
    return NotAcceptable(f"only the following media types are accepted: {', '.join(accepted)}")


@lru_cache(maxsize=512)
def parse_accept(accept: str, streaming: bool = False, custom: bool = False, whole: bool = False) -> Media:
    """The first clause of the header, by quality, that we can serve. Raises NotAcceptable.

    `custom`: objects of custom kinds have no protobuf, but their metadata has. `whole`: what is only answered and
    never stored (a review) has neither table nor metadata.
    """
    if not accept.strip():
        return DEFAULT
    for media_type, parameters in _clauses(accept):
        found = _match(media_type, parameters, streaming)
        if found is None or (whole and found.transform):
            continue
        if not (custom and found.format == "protobuf" and not found.transform):
            return found
    raise _refused(_STREAMS if streaming else MEDIA_TYPES)


def _clauses(accept: str) -> list[tuple[str, dict[str, str]]]:
    """(type, parameters), best first; the order of the header among equals."""
    found: list[tuple[float, int, str, dict[str, str]]] = []
    for index, clause in enumerate(accept.split(",")):
        media_type, *rest = [part.strip() for part in clause.split(";")]
        parameters = {key.strip().lower(): value.strip() for key, _, value in (part.partition("=") for part in rest)}
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        # A wildcard never beats a named type of the same quality.
        found.append((-quality, index + (1000 if "*" in media_type else 0), media_type.lower(), parameters))
    return [(media_type, parameters) for _, _, media_type, parameters in sorted(found, key=lambda f: f[:2])]


def _match(media_type: str, parameters: dict[str, str], streaming: bool) -> Media | None:
    if media_type == "*/*":
        media_type = JSON
    if media_type == "application/x-yaml":
        media_type = YAML
    short = _SHORT.get(media_type)
    if short is None or (streaming and short == "yaml"):
        return None
    if parameters.get("stream", "watch" if streaming else "") not in ("", "watch"):
        return None
    transform = parameters.get("as", "")
    if not transform:
        return Media(short)
    version = parameters.get("v", "")
    if parameters.get("g") != _META or version not in ("v1", "v1beta1"):
        return None
    if transform == "Table" and short != "protobuf":
        return Media(short, "Table", version)
    if transform in (PARTIAL, f"{PARTIAL}List"):
        return Media(short, PARTIAL, version, transform != PARTIAL)
    return None


def wanted(exchange: Exchange, *, streaming: bool = False, custom: bool = False, whole: bool = False) -> Media:
    """Raises NotAcceptable."""
    accept = exchange.headers.get("Accept", "")
    if not accept or accept in ("application/json", "*/*"):
        return DEFAULT
    try:
        return parse_accept(accept, streaming, custom, whole)
    except NotAcceptable:
        if custom or any(name in _SHORT or name == "*/*" for name, _ in _clauses(accept)):
            raise
    shown = (*MEDIA_TYPES, *_STREAMS) if exchange.info.verb in ("list", "watch") else MEDIA_TYPES
    raise NotAcceptable(f"406: Not Acceptable\n\nAvailable representations: {', '.join(shown)}")


def check_shape(media: Media, kind: Kind[Any], *, listed: bool) -> None:
    """A list has no metadata of one object, and the reverse. Raises NotAcceptable."""
    if media.transform != PARTIAL or media.of_list == listed:
        return
    package = "unstructured" if kind.custom is not None else kind.group.partition(".")[0] or "core"
    if listed:
        name = "UnstructuredList" if kind.custom is not None else kind.list_kind
        raise NotAcceptable(f"you requested {PARTIAL}, but the requested object is a list (*{package}.{name})")
    name = "Unstructured" if kind.custom is not None else kind.kind
    raise NotAcceptable(f"you requested {PARTIAL}List, but the requested object is not a list (*{package}.{name})")


def wants_pretty(exchange: Exchange) -> bool:
    """`?pretty=true`, or a person at curl who did not say otherwise."""
    stated = exchange.info.query.get("pretty") if exchange.raw_query else None
    if stated:
        return stated[0].lower() in ("true", "1", "t")
    return exchange.headers.get("User-Agent", "").startswith(_PRETTY_AGENTS)
