"""PodSecurity: pods keep to the policy of their namespace; templates are warned about; labels must make sense.

Source: staging/src/k8s.io/pod-security-admission/admission/admission.go, plugin/pkg/admission/security/podsecurity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tiphys.api.errors import InternalError, invalid_object
from tiphys.api.kind import Kind
from tiphys.api.kinds import NAMESPACE, POD
from tiphys.api.meta.owners import controller_of
from tiphys.apiserver.admission.plugin import Plugin
from tiphys.apiserver.admission.pod_security.checks import Violation
from tiphys.apiserver.admission.pod_security.policy import (
    PREFIX,
    PRIVILEGED,
    LevelVersion,
    Policy,
    Settings,
    policy_of,
    violations,
)
from tiphys.apiserver.admission.refusal import refuse
from tiphys.apiserver.authz.rbac import Caches
from tiphys.apiserver.registry.interface import AdmissionRequest

_IGNORED = frozenset({"exec", "attach", "binding", "eviction", "log", "portforward", "proxy", "status"})
_MAX_PODS = 3000
_Template = Callable[[Any], Any]
_TEMPLATES: dict[str, _Template] = {
    "podtemplates": lambda obj: obj.template,
    "replicationcontrollers": lambda obj: obj.spec.template,
    "replicasets.apps": lambda obj: obj.spec.template,
    "deployments.apps": lambda obj: obj.spec.template,
    "daemonsets.apps": lambda obj: obj.spec.template,
    "statefulsets.apps": lambda obj: obj.spec.template,
    "jobs.batch": lambda obj: obj.spec.template,
    "cronjobs.batch": lambda obj: obj.spec.job_template.spec.template,
}


class PodSecurity(Plugin):
    name = "PodSecurity"

    def __init__(self, caches: Caches, settings: Settings | None = None) -> None:
        self._namespaces = caches.cache_of(NAMESPACE)
        self._pods = caches.cache_of(POD)
        self._settings = settings or Settings()

    def concerns(self, kind: Kind[Any], operation: str, subresource: str) -> bool:
        if operation not in ("CREATE", "UPDATE"):
            return False
        if kind is POD:
            return subresource not in _IGNORED
        return not subresource and (kind is NAMESPACE or kind.group_resource in _TEMPLATES)

    async def validate(self, request: AdmissionRequest) -> None:
        if request.kind is NAMESPACE:
            self._namespace(request)
            return
        entry = self._namespaces.get("", request.namespace)
        if entry is None:
            if request.kind is POD:
                raise InternalError(f'Internal error occurred: failed to lookup namespace "{request.namespace}"')
            return
        policy, errors = policy_of(entry.obj.metadata.labels, self._settings.defaults)
        if self._is_exempt(request):
            return
        if request.kind is POD:
            self._pod(request, policy, [str(error) for error in errors])
        elif policy.warn.level != PRIVILEGED or policy.audit.level != PRIVILEGED:
            template = _TEMPLATES[request.kind.group_resource](request.obj)
            if template is not None:
                self._evaluate(request, policy, template.metadata, template.spec, enforce=False)

    def _is_exempt(self, request: AdmissionRequest) -> bool:
        if request.namespace in self._settings.namespaces:
            _annotate(request, "exempt", "namespace")
        elif request.user.name in self._settings.users:
            _annotate(request, "exempt", "user")
        else:
            return False
        return True

    def _pod(self, request: AdmissionRequest, policy: Policy, errors: list[str]) -> None:
        if not errors and policy.is_privileged:
            _annotate(request, "enforce-policy", str(LevelVersion()))
            return
        pod = request.obj
        if request.operation == "UPDATE" and not _is_significant(pod.spec, request.old.spec):
            return
        if errors:
            text = errors[0] if len(errors) == 1 else f"[{', '.join(errors)}]"
            _annotate(request, "error", f"Failed to parse policy: {text}")
        self._evaluate(request, policy, pod.metadata, pod.spec, enforce=True)

    def _evaluate(self, request: AdmissionRequest, policy: Policy, meta: Any, spec: Any, *, enforce: bool) -> None:
        if spec.runtime_class_name in self._settings.runtime_classes:
            _annotate(request, "exempt", "runtimeClass")
            return
        known: dict[LevelVersion, list[Violation]] = {}

        def against(wanted: LevelVersion) -> list[Violation]:
            if wanted not in known:
                known[wanted] = violations(wanted, meta, spec)
            return known[wanted]

        audited = against(policy.audit)
        if enforce:
            _annotate(request, "enforce-policy", str(policy.enforce))
        if audited:
            _annotate(request, "audit-violations", f'would violate PodSecurity "{policy.audit}": {_detail(audited)}')
        if enforce and (found := against(policy.enforce)):
            raise refuse(request, f'violates PodSecurity "{policy.enforce}": {_detail(found)}')
        warned = against(policy.warn)
        if warned:
            request.warnings.append(f'would violate PodSecurity "{policy.warn}": {_detail(warned)}')

    # Namespaces.

    def _namespace(self, request: AdmissionRequest) -> None:
        meta, defaults = request.obj.metadata, self._settings.defaults
        policy, errors = policy_of(meta.labels, defaults)
        if request.operation == "CREATE":
            if errors:
                raise invalid_object("", "Namespace", meta.name, errors)
            self._warn_if_exempt(request, policy)
            return
        before, old_errors = policy_of(request.old.metadata.labels, defaults)
        if errors and errors != old_errors:
            raise invalid_object("", "Namespace", meta.name, errors)
        new, old = policy.enforce, before.enforce
        if new == old or new.level == PRIVILEGED or (new.minor == old.minor and new.strictness <= old.strictness):
            return
        if meta.name in self._settings.namespaces:
            self._warn_if_exempt(request, policy)
            return
        pods = [entry.obj for entry in self._pods.entries(meta.name)]
        request.warnings += self.warnings_of(meta.name, new, pods)

    def _warn_if_exempt(self, request: AdmissionRequest, policy: Policy) -> None:
        meta = request.obj.metadata
        if meta.name not in self._settings.namespaces or policy.is_privileged or policy == self._settings.defaults:
            return
        stated = [
            f"{mode}={wanted}"
            for mode, wanted in (("enforce", policy.enforce), ("audit", policy.audit), ("warn", policy.warn))
            if wanted.level != PRIVILEGED and (PREFIX + mode in meta.labels or f"{PREFIX}{mode}-version" in meta.labels)
        ]
        request.warnings.append(
            f'namespace "{meta.name}" is exempt from Pod Security, and the policy ({", ".join(stated)}) will be ignored'
        )

    def warnings_of(self, namespace: str, enforce: LevelVersion, pods: Iterable[Any]) -> list[str]:
        """Which pods of a namespace would not be let in any more."""
        everyone = self._in_turn(pods)
        checked = everyone[:_MAX_PODS]
        names: dict[str, list[str]] = {}
        for pod in checked:
            found = violations(enforce, pod.metadata, pod.spec)
            if found:
                names.setdefault(", ".join(violation.reason for violation in found), []).append(pod.metadata.name)
        warnings = []
        if len(checked) < len(everyone):
            warnings.append(
                f"new PodSecurity enforce level only checked against the first {len(checked)} of {len(everyone)} "
                "existing pods"
            )
        if names:
            warnings.append(
                f'existing pods in namespace "{namespace}" violate the new PodSecurity enforce level "{enforce}"'
            )
        return warnings + sorted(f"{_crowd(pods_named)}: {reason}" for reason, pods_named in names.items())

    def _in_turn(self, pods: Iterable[Any]) -> list[Any]:
        """One pod of each controller first: its others are alike."""
        first, rest, seen = [], [], set()
        for pod in pods:
            if pod.spec.runtime_class_name in self._settings.runtime_classes:
                continue
            owner = controller_of(pod)
            if owner is not None and owner.uid in seen:
                rest.append(pod)
                continue
            first.append(pod)
            if owner is not None:
                seen.add(owner.uid)
        return first + rest


def _crowd(names: list[str]) -> str:
    first, others = min(names), len(names) - 1
    if not others:
        return first
    return f"{first} (and 1 other pod)" if others == 1 else f"{first} (and {others} other pods)"


def _detail(found: list[Violation]) -> str:
    return ", ".join(str(violation) for violation in found)


def _annotate(request: AdmissionRequest, key: str, value: str) -> None:
    request.annotations[PREFIX + key] = value


def _is_significant(new: Any, old: Any) -> bool:
    """Whether anything changes that a policy looks at: images alone can, and containers be added."""
    for field in ("containers", "init_containers"):
        ours, theirs = getattr(new, field), getattr(old, field)
        if len(ours) != len(theirs) or any(a.image != b.image for a, b in zip(ours, theirs, strict=True)):
            return True
    images = {container.name: container.image for container in old.ephemeral_containers}
    return any(images.get(container.name) != container.image for container in new.ephemeral_containers)
