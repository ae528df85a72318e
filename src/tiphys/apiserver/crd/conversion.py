"""Conversion by webhook: ConversionReview v1.

Source: apiextensions-apiserver/pkg/apiserver/conversion/webhook_converter.go.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from tiphys.api.errors import InternalError
from tiphys.api.kinds.apiextensions.customresourcedefinition import WebhookConversion
from tiphys.apiserver.webhooks.errors import WebhookFailed
from tiphys.apiserver.webhooks.target import Target, of_config

TIMEOUT_S = 30.0
_VERSIONS = ("v1", "v1beta1")
_FREE = ("labels", "annotations")
"""What of metadata a conversion may change."""


class Poster(Protocol):
    """The client of webhooks, as far as it is used here."""

    async def post(self, target: Target, body: bytes, *, timeout_s: float) -> bytes: ...


class WebhookConverter:
    """Converts objects of one definition."""

    def __init__(self, client: Poster, webhook: WebhookConversion, kind: str) -> None:
        self._client = client
        self._target = of_config(webhook.client_config)
        self._version = next((v for v in webhook.conversion_review_versions if v in _VERSIONS), "v1")
        self._kind = kind

    async def convert(self, objects: Sequence[dict[str, Any]], api_version: str) -> list[dict[str, Any]]:
        """All in one review; what is in the wanted version already is not sent. Raises InternalError."""
        waiting = [(index, value) for index, value in enumerate(objects) if value.get("apiVersion") != api_version]
        if not waiting:
            return list(objects)
        stated = waiting[0][1].get("apiVersion")
        uid = str(uuid.uuid4())
        review_version = f"apiextensions.k8s.io/{self._version}"
        request = {"uid": uid, "desiredAPIVersion": api_version, "objects": [value for _, value in waiting]}
        body = msgspec.json.encode({"kind": "ConversionReview", "apiVersion": review_version, "request": request})
        try:
            answer = await self._client.post(self._target, body, timeout_s=TIMEOUT_S)
        except WebhookFailed as error:
            raise self._failed(stated, str(error)) from None
        converted = self._read(answer, uid, review_version, stated)
        if len(converted) != len(waiting):
            why = f"expected {len(waiting)} converted objects, got {len(converted)}"
            raise self._failed(stated, why, "returned")
        out = list(objects)
        for (index, before), after in zip(waiting, converted, strict=True):
            out[index] = self._checked(before, after, api_version, stated)
        return out

    def _read(self, answer: bytes, uid: str, review_version: str, stated: Any) -> list[Any]:
        try:
            review = msgspec.json.decode(answer)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise self._failed(stated, str(error)) from None
        response = review.get("response") if isinstance(review, dict) else None
        if not isinstance(response, dict):
            raise self._failed(stated, "no response provided", "returned an invalid response:")
        if review.get("apiVersion") != review_version or review.get("kind") != "ConversionReview":
            shown = f"{review.get('apiVersion')}, Kind={review.get('kind')}"
            raise self._failed(stated, f"expected {review_version}, Kind=ConversionReview, got {shown}", "returned")
        if self._version == "v1" and response.get("uid") != uid:
            why = f"expected response.uid={json.dumps(uid)}, got {json.dumps(response.get('uid'))}"
            raise self._failed(stated, why, "returned")
        result = response.get("result") or {}
        if result.get("status") != "Success":
            if result.get("status") != "Failure":
                words = json.dumps(result.get("status") or "")
                raise self._failed(stated, f'response.result.status was {words}, not "Success"', "returned")
            raise self._failed(stated, result.get("message") or "unknown")
        converted = response.get("convertedObjects")
        return converted if isinstance(converted, list) else []

    def _checked(self, before: dict[str, Any], after: Any, api_version: str, stated: Any) -> dict[str, Any]:
        if not isinstance(after, dict):
            raise self._failed(stated, "invalid converted object: not an object", "returned")
        where = "returned invalid converted object at index 0:"
        found = after.get("apiVersion")
        if found != api_version:
            raise self._failed(stated, f"invalid groupVersion (expected {api_version}, received {found})", where)
        wanted, found = before.get("kind"), after.get("kind")
        if found != wanted:
            raise self._failed(stated, f"invalid kind (expected {wanted}, received {found})", where)
        old, new = before.get("metadata") or {}, after.get("metadata") or {}
        for name in ("name", "namespace", "uid"):
            if (old.get(name) or "") != (new.get(name) or ""):
                why = f"must have the same {name}: {new.get(name) or ''} != {old.get(name) or ''}"
                raise self._failed(stated, why, "returned invalid metadata in object at index 0:")
        # Everything else of metadata stays what it was, whatever the webhook made of it.
        metadata = {name: value for name, value in old.items() if name not in _FREE}
        metadata |= {name: new[name] for name in _FREE if new.get(name)}
        return {**after, "metadata": metadata}

    def _failed(self, stated: Any, why: str, verb: str = "failed:") -> InternalError:
        group, _, version = str(stated).rpartition("/")
        return InternalError(f"conversion webhook for {group}/{version}, Kind={self._kind} {verb} {why}")
