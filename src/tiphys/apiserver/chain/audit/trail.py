"""What is recorded of one request while it is handled, and its events.

Source: staging/src/k8s.io/apiserver/pkg/audit/request.go, pkg/endpoints/filters/audit.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tiphys.apiserver.chain.audit.policy import LEVELS, METADATA, REQUEST, REQUEST_RESPONSE, Chosen
from tiphys.base.clock import Clock, rfc3339_micro

if TYPE_CHECKING:
    from tiphys.apiserver.chain.exchange import Exchange
    from tiphys.apiserver.request import User

_MAX_OBJECT_BYTES = 8 * 1024 * 1024
"""Larger objects are left out of events."""
Emit = Callable[[bytes], None]


class _Meta(msgspec.Struct, frozen=True):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(name="resourceVersion", default="")


class _Head(msgspec.Struct):
    metadata: _Meta = _Meta()


class Trail:
    """Made when the user is known; `emit` gets each event as one JSON value."""

    __slots__ = (
        "_chosen", "_clock", "_emit", "_exchange", "_ref", "_request", "_user", "annotations", "constraint",
        "impersonated", "received",
    )  # fmt: skip

    def __init__(self, exchange: Exchange, user: User | None, chosen: Chosen, clock: Clock, emit: Emit) -> None:
        self._exchange = exchange
        self._user = user
        self._chosen = chosen
        self._clock = clock
        self._emit = emit
        self._request: Any = None
        self._ref: _Meta | None = None
        self.impersonated: User | None = None
        self.constraint = ""
        self.annotations = exchange.annotations
        self.received: datetime = clock.now()

    @property
    def wants_answer(self) -> bool:
        return self._chosen.level >= REQUEST_RESPONSE

    def annotate(self, annotations: Mapping[str, str]) -> None:
        """The first value of a key stays, as upstream."""
        for key, value in annotations.items():
            self.annotations.setdefault(key, value)

    def request_body(self, data: bytes, content_type: str) -> None:
        """Called when a handler has read the body."""
        if self._chosen.level < METADATA or not data or len(data) > _MAX_OBJECT_BYTES:
            return
        value = _as_json(data, content_type)
        if value is None:
            return
        if isinstance(value, msgspec.Raw) and not self._exchange.info.name:
            try:
                self._ref = msgspec.json.decode(value, type=_Head).metadata
            except msgspec.DecodeError:
                self._ref = None
        if self._chosen.level >= REQUEST:
            self._request = self._trimmed(value)

    def stage(self, stage: str, status: int = 0, body: bytes = b"", content_type: str = "") -> None:
        """Emit an event, unless the policy leaves the stage out."""
        if stage in self._chosen.omitted:
            return
        self._emit(self._event(stage, status, body, content_type))

    def _event(self, stage: str, status: int, body: bytes, content_type: str) -> bytes:
        exchange, info = self._exchange, self._exchange.info
        now = self.received if stage == "RequestReceived" else self._clock.now()
        event: dict[str, Any] = {
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": LEVELS[self._chosen.level],
            "auditID": exchange.audit_id, "stage": stage,
            "requestURI": exchange.path + (f"?{exchange.raw_query}" if exchange.raw_query else ""),
            "verb": info.verb, "user": _shown(self._user),
        }  # fmt: skip
        if self.impersonated is not None:
            event["impersonatedUser"] = _shown(self.impersonated)
        if self.constraint:
            event["authenticationMetadata"] = {"impersonationConstraint": self.constraint}
        event["sourceIPs"] = _sources(exchange)
        agent = exchange.headers.get("User-Agent", "")
        if agent:
            event["userAgent"] = agent[:1024]
        if info.is_resource:
            event["objectRef"] = self._object_ref()
        if status:
            event["responseStatus"] = {"metadata": {}, "code": status}
            if status >= 400 and body:
                event["responseStatus"] = _status_of(body, content_type, status)
        if stage != "RequestReceived" and self._request is not None:
            event["requestObject"] = self._request
        if stage == "ResponseComplete" and body and self.wants_answer and len(body) <= _MAX_OBJECT_BYTES:
            answer = _as_json(body, content_type)
            if answer is not None:
                event["responseObject"] = self._trimmed(answer)
        event["requestReceivedTimestamp"] = rfc3339_micro(self.received)
        event["stageTimestamp"] = rfc3339_micro(now)
        if self.annotations:
            event["annotations"] = self.annotations
        return msgspec.json.encode(event)

    def _object_ref(self) -> dict[str, str]:
        info, ref = self._exchange.info, self._ref or _Meta()
        found = {
            "resource": info.resource, "namespace": info.namespace or ref.namespace, "name": info.name or ref.name,
            "uid": ref.uid, "apiGroup": info.group, "apiVersion": info.version,
            "resourceVersion": ref.resource_version, "subresource": info.subresource,
        }  # fmt: skip
        return {key: value for key, value in found.items() if value}

    def _trimmed(self, value: Any) -> Any:
        """Without managed fields, where the policy says so."""
        if not self._chosen.omit_managed_fields:
            return value
        decoded = msgspec.json.decode(value) if isinstance(value, msgspec.Raw) else value
        if isinstance(decoded, dict):
            for one in (decoded, *(decoded.get("items") or ())):
                metadata = one.get("metadata") if isinstance(one, dict) else None
                if isinstance(metadata, dict):
                    metadata.pop("managedFields", None)
        return decoded


def _shown(user: User | None) -> dict[str, Any]:
    if user is None:
        return {}
    found: dict[str, Any] = {"username": user.name}
    if user.uid:
        found["uid"] = user.uid
    found["groups"] = list(user.groups)
    if user.extra:
        found["extra"] = {key: list(values) for key, values in user.extra.items()}
    return found


def _sources(exchange: Exchange) -> list[str]:
    """As upstream: X-Forwarded-For, X-Real-Ip, then who is connected."""
    found = [part.strip() for value in exchange.all_values("X-Forwarded-For") for part in value.split(",")]
    real = exchange.headers.get("X-Real-Ip", "")
    if real and real not in found:
        found.append(real)
    if exchange.remote and (not found or found[-1] != exchange.remote):
        found.append(exchange.remote)
    return [source[:64] for source in found[:16] if source]


def _as_json(data: bytes, content_type: str) -> Any:
    """A body as a JSON value that an event can hold; None where it is none."""
    kind = content_type.partition(";")[0].strip()
    try:
        if kind.endswith("json") or not kind:
            msgspec.json.decode(data)  # an event must be whole JSON
            return msgspec.Raw(bytes(data))
        if kind.endswith("yaml"):
            from tiphys.api.codec_yaml import parse_yaml

            return parse_yaml(data)[0]
        if kind == "application/vnd.kubernetes.protobuf":
            import base64

            return {"raw": base64.b64encode(data).decode(), "contentType": kind}
    except (ValueError, RecursionError):
        return None
    return None


def _status_of(body: bytes, content_type: str, status: int) -> dict[str, Any]:
    """What the client was told, if it was a Status."""
    if "json" in content_type:
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            found = None
        if isinstance(found, dict) and found.get("kind") == "Status":
            kept = {key: found[key] for key in ("status", "message", "reason", "details") if key in found}
            return {"metadata": {}, **kept, "code": status}
    return {"metadata": {}, "code": status}
