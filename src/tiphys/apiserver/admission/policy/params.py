"""The objects that hold a policy's parameters.

Source: staging/src/k8s.io/apiserver/pkg/admission/plugin/policy/generic/policy_dispatcher.go (CollectParams).
"""

from __future__ import annotations

from typing import Any

from tiphys.api.kind import Kind
from tiphys.api.kinds.admissionregistration.types import ParamKind, ParamRef
from tiphys.api.labels import selector_of
from tiphys.apiserver.admission.equivalents import Equivalents
from tiphys.apiserver.admission.policy.matching import Misconfigured
from tiphys.apiserver.authz.rbac import Caches


class Params:
    """Reads the registry's caches: built-in kinds and those of definitions alike."""

    def __init__(self, caches: Caches, equivalents: Equivalents) -> None:
        self._caches = caches
        self._equivalents = equivalents

    def kind_of(self, stated: ParamKind) -> Kind[Any]:
        """Raises Misconfigured where no such kind is served."""
        found = self._equivalents.named(stated.api_version, stated.kind)
        if found is None:
            group_version = stated.api_version if "/" in stated.api_version else f"/{stated.api_version}"
            named = f"{group_version}, Kind={stated.kind}"
            raise Misconfigured(f"failed to find resource referenced by paramKind: '{named}'")
        return found

    def collect(self, stated: ParamKind | None, ref: ParamRef | None, namespace: str) -> list[Any]:
        """The parameters of one binding: a policy that has none is evaluated once, with none. Empty: not at all.

        Raises Misconfigured.
        """
        if stated is None or ref is None:
            return [None]
        kind = self.kind_of(stated)
        if ref.namespace and not kind.namespaced:
            raise Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
        where = (ref.namespace or namespace) if kind.namespaced else ""
        if kind.namespaced and not where:
            raise Misconfigured(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
        found = self._found(kind, ref, where)
        if not found and ref.parameter_not_found_action == "Deny":
            raise Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
        return found

    def _found(self, kind: Kind[Any], ref: ParamRef, namespace: str) -> list[Any]:
        cache = self._caches.cache_of(kind)
        if ref.name:
            entry = cache.get(namespace, ref.name)
            return [entry.obj] if entry is not None else []
        if ref.selector is None:
            raise Misconfigured("one of name or selector must be provided")
        selector = selector_of(ref.selector)
        return [entry.obj for entry in cache.entries(namespace) if selector.matches(entry.obj.metadata.labels)]
