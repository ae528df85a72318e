"""What a plan may ask for. Few actions, all plain values: a plan is data that can be compared, printed and replayed.

A plan's actions are done in order. Neighbours of one sort are done together: creations in batches of 1, 2, 4, ... (one
refusal stops the rest, so that a full quota costs one refused request and not five hundred), deletions and patches all
at once. The first failure ends the plan; the runtime plans anew after a back-off.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from tiphys.api.errors import ApiError
from tiphys.api.kind import Kind
from tiphys.api.kinds.core.references import ObjectReference
from tiphys.api.meta.resource import Resource
from tiphys.client.interface import PatchType, Propagation


@dataclass(frozen=True, slots=True)
class Gone:
    """No object with this UID exists, as the API says right now (not as a cache remembers)."""

    kind: Kind[Any]
    name: str
    namespace: str
    uid: str


@dataclass(frozen=True, slots=True)
class Alive:
    """The object with this UID exists and is not being deleted, as the API says right now."""

    kind: Kind[Any]
    name: str
    namespace: str
    uid: str


@dataclass(frozen=True, slots=True)
class Empty:
    """The namespace holds no object of these kinds, as the API says right now."""

    kinds: tuple[Kind[Any], ...]
    namespace: str


Guard: TypeAlias = Gone | Alive | Empty
"""What must be true, by a live look, for an action that a stale cache would make harmful. If it is not, the action is
left out, the rest of the plan with it, and the key is planned again."""


@dataclass(frozen=True, slots=True)
class Report:
    """The events of an action's outcome. `{name}` is the object's name, `{error}` the API's words. Empty: no event."""

    on: Resource
    done_reason: str = ""
    done: str = ""
    failed_reason: str = ""
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Create:
    kind: Kind[Any]
    obj: Resource
    report: Report | None = None
    exists_ok: bool = False
    """Somebody else having made it is as good."""
    on_failure: Callable[[ApiError], Sequence[Action]] | None = None
    """What to do when it is refused, before the key backs off (to write the failure into a status). Pure."""


@dataclass(frozen=True, slots=True)
class Update:
    """PUT. `obj` is a changed copy that still has the resource version it was read at, so nothing is overwritten."""

    kind: Kind[Any]
    obj: Resource
    subresource: str = ""
    report: Report | None = None
    guards: tuple[Guard, ...] = ()


@dataclass(frozen=True, slots=True)
class UpdateStatus:
    """PUT to `/status`."""

    kind: Kind[Any]
    obj: Resource


@dataclass(frozen=True, slots=True)
class Patch:
    """For objects that others write all the time (pods, nodes), where a PUT would mostly conflict. Put
    `metadata.uid` into the patch where the object may have been replaced by another of its name."""

    kind: Kind[Any]
    name: str
    namespace: str
    patch: Mapping[str, Any]
    patch_type: PatchType = "strategic"
    subresource: str = ""
    guards: tuple[Guard, ...] = ()
    report: Report | None = None
    moot_ok: bool = False
    """That the object is gone, or another by now, is as good."""


@dataclass(frozen=True, slots=True)
class Delete:
    """Always with the UID, so that a successor of the same name survives. That it is gone already is success."""

    kind: Kind[Any]
    name: str
    namespace: str
    uid: str
    resource_version: str = ""
    propagation: Propagation | None = None
    grace_period_s: int | None = None
    guards: tuple[Guard, ...] = ()
    report: Report | None = None
    on_failure: Callable[[ApiError], Sequence[Action]] | None = None


@dataclass(frozen=True, slots=True)
class DeleteCollection:
    kind: Kind[Any]
    namespace: str
    on_failure: Callable[[ApiError], Sequence[Action]] | None = None


@dataclass(frozen=True, slots=True)
class RequeueAfter:
    """Plan this key again then, whatever happens: for what time alone changes."""

    delay_s: float


@dataclass(frozen=True, slots=True)
class SetScale:
    """PUT of a Scale at its own path, for targets of any kind, also of kinds that are only known by name."""

    path: str
    scale: Mapping[str, Any]
    """As it was read, with another `spec.replicas`: its resource version keeps others' changes."""
    report: Report | None = None
    on_failure: Callable[[ApiError], Sequence[Action]] | None = None


@dataclass(frozen=True, slots=True)
class Remember:
    """Keep this for the next plan of the same key (`Listers.remembered`), until the process ends. For what is no part
    of any object: earlier recommendations, say."""

    value: Any


@dataclass(frozen=True, slots=True)
class Event:
    on: Resource | ObjectReference
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


Action: TypeAlias = (
    Create | Update | UpdateStatus | Patch | Delete | DeleteCollection | SetScale | Remember | RequeueAfter | Event
)
