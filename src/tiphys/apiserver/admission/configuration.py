"""What the plugins are told by `--admission-control-config-file`: AdmissionConfiguration, with PodSecurity's own part.

    apiVersion: apiserver.config.k8s.io/v1
    kind: AdmissionConfiguration
    plugins:
    - name: PodSecurity
      configuration:
        apiVersion: pod-security.admission.config.k8s.io/v1
        kind: PodSecurityConfiguration
        defaults: {enforce: baseline, enforce-version: latest}
        exemptions: {namespaces: [kube-system]}

Source: staging/src/k8s.io/apiserver/pkg/apis/apiserver/v1/types.go,
staging/src/k8s.io/pod-security-admission/admission/api/{v1/types.go,validation/validation.go}.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tiphys.api import names
from tiphys.api.errors import FieldError, duplicate, invalid
from tiphys.apiserver.admission.pod_security import policy
from tiphys.apiserver.configfile import ConfigError, Document, Section, parse, read, refuse

_GROUP = "pod-security.admission.config.k8s.io"
_MODES = ("enforce", "audit", "warn")


class _Plugin(Section, frozen=True, kw_only=True):
    name: str = ""
    path: str = ""
    configuration: dict[str, Any] | None = None


class _Configuration(Document, frozen=True, kw_only=True):
    plugins: list[_Plugin] = []


class _Exemptions(Section, frozen=True, kw_only=True):
    usernames: list[str] = []
    namespaces: list[str] = []
    runtime_classes: list[str] = []


class _PodSecurity(Document, frozen=True, kw_only=True):
    defaults: dict[str, str] = {}
    exemptions: _Exemptions = _Exemptions()


def pod_security(path: Path | None) -> policy.Settings:
    """PodSecurity's settings; the defaults where the file says nothing of it. Raises ConfigError."""
    if path is None:
        return policy.Settings()
    configuration = read(path, "AdmissionConfiguration", {"apiserver.config.k8s.io/v1": _Configuration})
    found = policy.Settings()
    for plugin in configuration.plugins:
        if plugin.name != "PodSecurity":
            raise ConfigError(f"{path}: plugin {plugin.name!r} takes no configuration here; only PodSecurity does")
        if plugin.path and plugin.configuration is not None:
            raise ConfigError(f"{path}: plugin PodSecurity: path and configuration cannot both be given")
        if plugin.path:
            own = Path(plugin.path)
            schemas = {f"{_GROUP}/v1": _PodSecurity}
            found = _settings(read(own if own.is_absolute() else path.parent / own, _KIND, schemas), str(own))
        elif plugin.configuration is not None:
            data = msgspec.json.encode(plugin.configuration)
            found = _settings(parse(data, f"{path}: PodSecurity", _KIND, {f"{_GROUP}/v1": _PodSecurity}), str(path))
    return found


_KIND = "PodSecurityConfiguration"


def _settings(said: _PodSecurity, where: str) -> policy.Settings:
    errors: list[FieldError] = []
    known = set(_MODES) | {f"{mode}-version" for mode in _MODES}
    errors += [invalid("defaults", key, "unknown field") for key in said.defaults if key not in known]
    labels: dict[str, str] = {}
    for mode in _MODES:
        labels[policy.PREFIX + mode] = said.defaults.get(mode) or policy.PRIVILEGED
        labels[f"{policy.PREFIX}{mode}-version"] = said.defaults.get(f"{mode}-version") or "latest"
    defaults, wrong = policy.policy_of(labels, policy.Policy())
    errors += [FieldError(e.reason, f"defaults.{e.path.rpartition('/')[2].rstrip(']')}", e.message) for e in wrong]
    exempt = said.exemptions
    errors += _check("namespaces", exempt.namespaces, names.dns_label)
    errors += _check("runtimeClasses", exempt.runtime_classes, names.dns_subdomain)
    errors += _check("usernames", exempt.usernames, lambda name: [] if name else ["username must not be empty"])
    refuse(where, errors)
    return policy.Settings(
        defaults, frozenset(exempt.usernames), frozenset(exempt.namespaces), frozenset(exempt.runtime_classes)
    )


def _check(field: str, values: list[str], rule: Any) -> list[FieldError]:
    found: list[FieldError] = []
    for index, value in enumerate(values):
        path = f"exemptions.{field}[{index}]"
        found += [invalid(path, value, why) for why in rule(value)]
        if value in values[:index]:
            found.append(duplicate(path, value))
    return found
