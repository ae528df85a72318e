"""Which pods a pod should keep away from when it does not say: those of its Services and of its controller.

Source: pkg/scheduler/framework/plugins/helper/spread.go (DefaultSelector).
"""

from __future__ import annotations

from collections.abc import Callable

from tiphys.api.kinds.core.service import Service
from tiphys.api.labels import selector_of, selector_of_map
from tiphys.api.meta.types import LabelSelector as LabelSelectorStruct
from tiphys.base.selectors import LabelSelector
from tiphys.client.interface import EventType, Informer
from tiphys.scheduler.pods import Group, PodRecord

SelectorOf = Callable[[str, str], LabelSelectorStruct | None]
"""(namespace, name) to a controller's selector; None while it is not known."""

_MEMO_MAX = 16_384
_Key = tuple[str, frozenset[tuple[str, str]], tuple[str, str, str]]


class DefaultGroups:
    """Finds a pod's default group, remembering it per set of labels and owner.

    Limits: 16,384 remembered answers, then they are found anew. A change to any Service's selector forgets all.
    """

    def __init__(self, services: Informer[Service], controllers: dict[tuple[str, str], SelectorOf]) -> None:
        """`controllers` maps (apiVersion, kind) of an owner to where its selector is found."""
        self._services = services
        self._controllers = controllers
        self._known: dict[_Key, Group | None] = {}

    def of(self, pod: PodRecord) -> Group | None:
        """None: nothing selects the pod, so it is not spread."""
        key = (pod.namespace, frozenset(pod.labels.items()), pod.owner)
        if key in self._known:
            return self._known[key]
        merged: dict[str, str] = {}
        for service in self._services.list(pod.namespace):
            wanted = service.spec.selector
            if wanted and all(pod.labels.get(k) == v for k, v in wanted.items()):
                merged |= wanted
        selectors = [selector_of_map(merged)] if merged else []
        complete = self._add_owner(pod, selectors)
        group = Group(pod.namespace, tuple(selectors)) if selectors else None
        if complete:
            if len(self._known) >= _MEMO_MAX:
                self._known.clear()
            self._known[key] = group
        return group

    def _add_owner(self, pod: PodRecord, selectors: list[LabelSelector]) -> bool:
        """Adds the controller's selector. False: the controller is not known yet, ask again next time."""
        api_version, kind, name = pod.owner
        find = self._controllers.get((api_version, kind))
        if find is None:
            return True
        struct = find(pod.namespace, name)
        if struct is None:
            return False
        try:
            selector = selector_of(struct)
        except ValueError:
            return True
        if not selector.empty:
            selectors.append(selector)
        return True

    def on_service(self, _type: EventType, old: Service | None, new: Service | None) -> None:
        before = old.spec.selector if old is not None else {}
        after = new.spec.selector if new is not None else {}
        if before != after:
            self._known.clear()
