"""JSON merge patch (RFC 7386). Source: gopkg.in/evanphx/json-patch.v4/merge.go."""

from __future__ import annotations

from typing import Any

from tiphys.api.errors import BadRequest


def apply(document: Any, patch: Any) -> Any:
    """The patched document; the arguments stay as they are (the result shares values with both).

    Raises BadRequest when the patch is not an object.
    """
    if not isinstance(patch, dict):
        raise BadRequest("Invalid JSON Patch")
    return merge(document, patch)


def merge(document: Any, patch: Any) -> Any:
    """RFC 7386's MergePatch, and beyond it: nulls inside lists of new values are dropped too, as upstream."""
    if not isinstance(patch, dict):
        return _without_nulls(patch) if not isinstance(document, dict) else patch
    if not isinstance(document, dict):
        return _without_nulls(patch)
    merged = dict(document)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif merged.get(key) is None:
            merged[key] = _without_nulls(value)
        else:
            merged[key] = merge(merged[key], value)
    return merged


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value
