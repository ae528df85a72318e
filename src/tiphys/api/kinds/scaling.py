"""What the kinds that keep a number of pods share: where the number is, and the subresources through which it changes.

Source: pkg/registry/apps/deployment/storage/storage.go and its neighbours (ScaleREST).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiphys.api.kind import ScalePaths, Subresource
from tiphys.api.labels import selector_of

SCALE_AND_STATUS = (
    Subresource("scale", ("get", "patch", "update"), "Scale", "autoscaling", "v1"),
    Subresource("status", ("get", "patch", "update")),
)


def selector_text(obj: Any) -> str:
    """`spec.selector`, a LabelSelector, as text.

    Raises:
        ValueError: the selector is not one.
    """
    return str(selector_of(obj.spec.selector))


def _set_replicas(obj: Any, count: int) -> None:
    obj.spec.replicas = count


def scale_paths(get_selector: Callable[[Any], str] = selector_text) -> ScalePaths:
    """`spec.replicas` and `status.replicas`, with the kind's own form of selector."""
    return ScalePaths(
        get_replicas=lambda obj: obj.spec.replicas or 0,
        set_replicas=_set_replicas,
        get_status_replicas=lambda obj: obj.status.replicas,
        get_selector=get_selector,
    )
