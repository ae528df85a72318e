"""A container's environment and the `$(NAME)` references in commands, arguments and values. Pure.

Source: pkg/kubelet/kubelet_pods.go (makeEnvironmentVariables), pkg/kubelet/envvars/envvars.go,
third_party/forked/golang/expansion/expand.go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from tiphys.api.kinds.core.configmap import ConfigMap
from tiphys.api.kinds.core.pod.containers import Container, EnvVarSource, EphemeralContainer
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.secret import Secret
from tiphys.api.kinds.core.service import Service


class BadEnvironment(Exception):
    """A source is missing or wrong. The text is the waiting message of the container."""


@dataclass(frozen=True, slots=True)
class EnvironmentSources:
    """What the environment may draw on; objects that are absent are None under their name."""

    config_maps: Mapping[str, ConfigMap | None]
    secrets: Mapping[str, Secret | None]
    services: Mapping[str, str]
    """Service variables, already made by `service_environment`."""
    field_value: Callable[[EnvVarSource], str]
    """The value of a fieldRef or resourceFieldRef. Raises BadEnvironment."""


@dataclass(slots=True)
class Environment:
    variables: dict[str, str] = field(default_factory=dict)
    """In the order in which they are set."""
    skipped: list[tuple[str, str, list[str]]] = field(default_factory=list)
    """(kind, name, keys) that are no variable names."""


def expand(text: str, lookup: Callable[[str], str | None]) -> str:
    """Replace `$(NAME)`; `$$` is a `$`; what is unknown or not closed stays as it is."""
    out: list[str] = []
    at = 0
    while (dollar := text.find("$", at)) >= 0 and dollar + 1 < len(text):
        out.append(text[at:dollar])
        follower = text[dollar + 1]
        if follower == "$":
            out.append("$")
            at = dollar + 2
        elif follower == "(" and (close := text.find(")", dollar + 2)) >= 0:
            name = text[dollar + 2 : close]
            found = lookup(name)
            out.append(found if found is not None else f"$({name})")
            at = close + 1
        elif follower == "(":
            out.append("$(")
            at = dollar + 2
        else:
            out.append("$" + follower)
            at = dollar + 2
    out.append(text[at:])
    return "".join(out)


def make_environment(pod: Pod, container: Container | EphemeralContainer, sources: EnvironmentSources) -> Environment:
    """The container's variables. Raises BadEnvironment."""
    made = Environment()
    for source in container.env_from:
        if source.config_map_ref is not None:
            reference = source.config_map_ref
            config_map = sources.config_maps.get(reference.name)
            if config_map is None and not reference.optional:
                raise BadEnvironment(f'configmap "{reference.name}" not found')
            _take_all(made, "ConfigMap", reference.name, source.prefix, config_map.data if config_map else {})
        elif source.secret_ref is not None:
            secret_reference = source.secret_ref
            secret = sources.secrets.get(secret_reference.name)
            if secret is None and not secret_reference.optional:
                raise BadEnvironment(f'secret "{secret_reference.name}" not found')
            data = {k: v.decode("utf-8", "surrogateescape") for k, v in secret.data.items()} if secret else {}
            _take_all(made, "Secret", secret_reference.name, source.prefix, data)

    def known(name: str) -> str | None:
        found = made.variables.get(name)
        return found if found is not None else sources.services.get(name)

    for variable in container.env:
        if variable.value_from is None:
            made.variables[variable.name] = expand(variable.value, known)
            continue
        value = _value_of(pod, variable.value_from, sources)
        if value is not None:
            made.variables[variable.name] = value
    for name, value in sources.services.items():
        made.variables.setdefault(name, value)
    return made


def _take_all(made: Environment, kind: str, name: str, prefix: str, data: Mapping[str, str]) -> None:
    invalid = []
    for key, value in data.items():
        if is_variable_name(prefix + key):
            made.variables[prefix + key] = value
        else:
            invalid.append(prefix + key)
    if invalid:
        made.skipped.append((kind, name, sorted(invalid)))


def is_variable_name(name: str) -> bool:
    """Any printable ASCII but `=`."""
    return bool(name) and all(" " <= c <= "~" and c != "=" for c in name)


def _value_of(pod: Pod, source: EnvVarSource, sources: EnvironmentSources) -> str | None:
    if source.field_ref is not None or source.resource_field_ref is not None:
        return sources.field_value(source)
    if (config_ref := source.config_map_key_ref) is not None:
        config_map = sources.config_maps.get(config_ref.name)
        if config_map is None:
            if config_ref.optional:
                return None
            raise BadEnvironment(f'configmap "{config_ref.name}" not found')
        if config_ref.key in config_map.data:
            return config_map.data[config_ref.key]
        if config_ref.optional:
            return None
        raise BadEnvironment(
            f"couldn't find key {config_ref.key} in ConfigMap {pod.metadata.namespace}/{config_ref.name}"
        )
    if (secret_ref := source.secret_key_ref) is not None:
        secret = sources.secrets.get(secret_ref.name)
        if secret is None:
            if secret_ref.optional:
                return None
            raise BadEnvironment(f'secret "{secret_ref.name}" not found')
        if secret_ref.key in secret.data:
            return secret.data[secret_ref.key].decode("utf-8", "surrogateescape")
        if secret_ref.optional:
            return None
        raise BadEnvironment(f"couldn't find key {secret_ref.key} in Secret {pod.metadata.namespace}/{secret_ref.name}")
    raise BadEnvironment("invalid valueFrom: no source is set")


def service_environment(services: Iterable[Service], namespace: str, *, links: bool) -> dict[str, str]:
    """Docker-link style variables of Services: the API's own always, those of the pod's namespace where `links`."""
    chosen: dict[str, Service] = {}
    for service in services:
        name = service.metadata.name
        if service.spec.cluster_ip in ("", "None"):
            continue
        if service.metadata.namespace == namespace and links:
            chosen[name] = service
        elif service.metadata.namespace == "default" and name == "kubernetes":
            chosen.setdefault(name, service)
    variables: dict[str, str] = {}
    for service in chosen.values():
        _add_service(variables, service)
    return variables


def _add_service(variables: dict[str, str], service: Service) -> None:
    prefix = service.metadata.name.upper().replace("-", "_")
    address = service.spec.cluster_ip
    host = f"[{address}]" if ":" in address else address
    ports = service.spec.ports
    if not ports:
        return
    variables[f"{prefix}_SERVICE_HOST"] = address
    variables[f"{prefix}_SERVICE_PORT"] = str(ports[0].port)
    for port in ports:
        if port.name:
            variables[f"{prefix}_SERVICE_PORT_{port.name.upper().replace('-', '_')}"] = str(port.port)
    first = (ports[0].protocol or "TCP").lower()
    variables[f"{prefix}_PORT"] = f"{first}://{host}:{ports[0].port}"
    for port in ports:
        protocol = port.protocol or "TCP"
        head = f"{prefix}_PORT_{port.port}_{protocol.upper()}"
        variables[head] = f"{protocol.lower()}://{host}:{port.port}"
        variables[f"{head}_PROTO"] = protocol.lower()
        variables[f"{head}_PORT"] = str(port.port)
        variables[f"{head}_ADDR"] = address
