"""Webhook configurations, compiled once, and which of them a sort of request concerns.

Source: staging/src/k8s.io/apiserver/pkg/admission/{configuration,plugin/webhook/generic,plugin/webhook/predicates}.
"""

from __future__ import annotations

from typing import Any

from tiphys.api.errors import ApiError, object_not_found
from tiphys.api.kind import Kind
from tiphys.api.kinds import NAMESPACE
from tiphys.api.labels import selector_of
from tiphys.apiserver.admission.attributes import configures_admission, namespace_of
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.webhooks.conditions import Conditions
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest, Cache, Entry
from tiphys.apiserver.webhooks.target import Target, of_config
from tiphys.base.selectors import LabelSelector

DEFAULT_TIMEOUT_S = 10
_MAX_SORTS = 8192
_EVERYTHING = LabelSelector()


class Hook:
    """One webhook of one configuration, ready for use."""

    def __init__(self, configuration: str, uid: str, webhook: Any) -> None:
        self.configuration = configuration
        self.uid = uid
        self.name: str = webhook.name
        self.rules = webhook.rules
        self.target: Target = of_config(webhook.client_config)
        self.equivalent = webhook.match_policy != "Exact"
        self.ignores_failure = webhook.failure_policy == "Ignore"
        self.timeout_s = float(webhook.timeout_seconds or DEFAULT_TIMEOUT_S)
        self.side_effects: str | None = webhook.side_effects
        self.versions: list[str] = webhook.admission_review_versions
        self.reinvocable = getattr(webhook, "reinvocation_policy", None) == "IfNeeded"
        self.namespaces = _selector(webhook.namespace_selector)
        self.objects = _selector(webhook.object_selector)
        self.conditions = Conditions(webhook.match_conditions, self.ignores_failure)


def _selector(stated: Any) -> LabelSelector:
    return _EVERYTHING if stated is None else selector_of(stated)


class Hooks:
    """All webhooks of one kind of configuration, by name of their configurations, then as these list them."""

    def __init__(self, cache: Cache, caches: Caches, equivalents: Equivalents) -> None:
        self._namespaces = caches.cache_of(NAMESPACE)
        self._equivalents = equivalents
        self._configurations: dict[str, list[Hook]] = {}
        self._sorts: dict[tuple[Kind[Any], str, str], tuple[tuple[int, Hook, Kind[Any]], ...]] = {}
        self.present = False
        """Whether there is any webhook at all."""
        for entry in cache.entries():
            self._put(entry)
        self._forget()
        cache.subscribe(self._changed)
        equivalents.changed.append(self._forget)

    def _put(self, entry: Entry) -> None:
        configuration = entry.obj
        seen: dict[str, int] = {}
        hooks = []
        for webhook in configuration.webhooks:
            count = seen[webhook.name] = seen.get(webhook.name, -1) + 1
            uid = f"{configuration.metadata.name}/{webhook.name}/{count}"
            hooks.append(Hook(configuration.metadata.name, uid, webhook))
        self._configurations[entry.name] = hooks

    def _changed(self, _type: str, new: Entry | None, old: Entry | None) -> None:
        if new is not None:
            self._put(new)
        elif old is not None:
            self._configurations.pop(old.name, None)
        self._forget()

    def _forget(self) -> None:
        self._sorts.clear()
        self.present = any(self._configurations.values())

    def candidates(self, request: AdmissionRequest) -> tuple[tuple[int, Hook, Kind[Any]], ...]:
        """(position, webhook, the version in which it wants the object) by rules alone: one look-up once learnt."""
        sort = (request.kind, request.operation, request.subresource)
        known = self._sorts.get(sort)
        if known is None:
            if len(self._sorts) >= _MAX_SORTS:
                self._sorts.clear()
            known = self._sorts[sort] = self._learn(*sort)
        return known

    def _learn(self, kind: Kind[Any], operation: str, subresource: str) -> tuple[tuple[int, Hook, Kind[Any]], ...]:
        if configures_admission(kind):
            return ()
        hooks = [hook for name in sorted(self._configurations) for hook in self._configurations[name]]
        found = []
        for index, hook in enumerate(hooks):
            used = self._version(hook, kind, operation, subresource)
            if used is not None:
                found.append((index, hook, used))
        return tuple(found)

    def _version(self, hook: Hook, kind: Kind[Any], operation: str, subresource: str) -> Kind[Any] | None:
        if any(rule_matches(rule, kind, operation, subresource) for rule in hook.rules):
            return kind
        others = self._equivalents.of(kind) if hook.equivalent else ()
        for rule in hook.rules:
            for other in others:
                if rule_matches(rule, other, operation, subresource):
                    return other
        return None

    def selected(self, hook: Hook, request: AdmissionRequest) -> bool:
        """Whether the selectors of a candidate hold. Raises NotFound for a namespace that is not there."""
        if not hook.namespaces.empty:
            labels = self._namespace_labels(request)
            if isinstance(labels, ApiError):
                if _objects_match(hook, request):
                    raise labels
                return False
            if labels is not None and not hook.namespaces.matches(labels):
                return False
        return _objects_match(hook, request)

    def _namespace_labels(self, request: AdmissionRequest) -> dict[str, str] | ApiError | None:
        """None: the object lies in no namespace, and no namespace selector speaks of it."""
        is_namespace = request.kind is NAMESPACE
        if is_namespace and not request.subresource and request.operation in ("CREATE", "UPDATE"):
            labels: dict[str, str] = request.obj.metadata.labels
            return labels
        namespace = namespace_of(request)
        if not namespace and not is_namespace:
            return None
        entry = self._namespaces.get("", namespace)
        if entry is None:
            return object_not_found("", "namespaces", namespace)
        held: dict[str, str] = entry.obj.metadata.labels
        return held


def _objects_match(hook: Hook, request: AdmissionRequest) -> bool:
    if hook.objects.empty:
        return True
    return any(
        obj is not None and not isinstance(obj, dict) and hook.objects.matches(obj.metadata.labels)
        for obj in (request.obj, request.old)
    )


def rule_matches(rule: Any, kind: Kind[Any], operation: str, subresource: str) -> bool:
    """Whether a rule is about this sort of request."""
    if rule.scope not in (None, "*"):
        cluster_wide = not kind.namespaced
        if rule.scope != ("Cluster" if cluster_wide else "Namespaced"):
            return False
    if not ({"*", operation} & set(rule.operations)):
        return False
    if not ({"*", kind.group} & set(rule.api_groups)) or not ({"*", kind.version} & set(rule.api_versions)):
        return False
    for pattern in rule.resources:
        resource, _, sub = pattern.partition("/")
        if resource in ("*", kind.plural) and sub in ("*", subresource):
            return True
    return False
