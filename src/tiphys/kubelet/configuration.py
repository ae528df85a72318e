"""A KubeletConfiguration file: upstream's fields to our settings, and back for /configz.

A field that has no meaning here is refused, so that nobody trusts in a setting that does nothing.

Source: staging/src/k8s.io/kubelet/config/v1beta1/types.go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tiphys.base.cron import duration_s
from tiphys.base.quantity import from_value, value
from tiphys.kubelet.backoff import go_duration
from tiphys.kubelet.cgroups import DRIVERS
from tiphys.kubelet.reservations import RESERVABLE, reservations
from tiphys.kubelet.resources.cpus.options import cpu_options
from tiphys.kubelet.resources.cpus.topology import parse
from tiphys.kubelet.resources.hints import POLICIES, SCOPES, topology_options
from tiphys.kubelet.settings import KubeletSettings
from tiphys.kubelet.shutdown import periods
from tiphys.kubelet.swap import BEHAVIOURS, NO_SWAP

_KIND, _VERSION = "KubeletConfiguration", "kubelet.config.k8s.io/v1beta1"
_MAX_BYTES = 1 << 20


class BadConfiguration(Exception):
    """The text names the file and the field."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the file: the setting, how it is read (raises ValueError) and how it is shown."""

    name: str
    setting: str
    read: Callable[[Any], Any]
    show: Callable[[Any], Any] = lambda shown: shown


def _text(given: Any) -> str:
    if not isinstance(given, str):
        raise ValueError("must be a string")
    return given


def _whole(given: Any) -> int:
    if not isinstance(given, int) or isinstance(given, bool) or given < 0:
        raise ValueError("must be a whole number, not negative")
    return given


def _positive(given: Any) -> int:
    if not _whole(given):
        raise ValueError("must be greater than 0")
    return int(given)


def _limit(given: Any) -> int:
    """-1 is no limit."""
    return 0 if given == -1 else _whole(given)


def _percent(given: Any) -> int:
    if _whole(given) > 100:
        raise ValueError("must be between 0 and 100")
    return int(given)


def _seconds(given: Any) -> float:
    return duration_s(_text(given))


def _whole_seconds(given: Any) -> int:
    return int(_seconds(given))


def _bytes(given: Any) -> int:
    return value(_text(given))


def _texts(given: Any) -> tuple[str, ...]:
    if not isinstance(given, list):
        raise ValueError("must be a list of strings")
    return tuple(_text(each) for each in given)


def _map(given: Any) -> dict[str, str]:
    if not isinstance(given, dict):
        raise ValueError("must be a map of strings")
    return {_text(key): _text(each) for key, each in given.items()}


def _reserved(given: Any) -> dict[str, str]:
    found = _map(given)
    for name, text in found.items():
        if name not in RESERVABLE:
            raise ValueError(f"{name} cannot be reserved, only {', '.join(RESERVABLE)}")
        if value(text) < 0:
            raise ValueError(f"{name}: {text} is negative")
    return found


def _options(check: Callable[[Mapping[str, str]], object]) -> Callable[[Any], dict[str, str]]:
    def read(given: Any) -> dict[str, str]:
        found = _map(given)
        check(found)
        return found

    return read


def _reserved_memory(given: Any) -> dict[int, dict[str, int]]:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise ValueError("must be a list of numaNode and limits")
    found: dict[int, dict[str, int]] = {}
    for each in given:
        node = _whole(each["numaNode"])
        for name, text in _map(each["limits"]).items():
            where = f'NUMA node {node} and resource "{name}"'
            if name != "memory" and not name.startswith("hugepages-"):
                raise ValueError(f'the limit type "{name}" for NUMA node {node} is not supported')
            if name in found.get(node, {}):
                raise ValueError(f"the reserved memory has a duplicate value for {where}")
            if value(text) <= 0:
                raise ValueError(f"reserved memory may not be zero for {where}")
            found.setdefault(node, {})[name] = value(text)
    return found


def _shown_memory(shown: Mapping[int, Mapping[str, int]]) -> list[dict[str, Any]]:
    return [
        {"numaNode": node, "limits": {name: from_value(size, binary=True) for name, size in limits.items()}}
        for node, limits in shown.items()
    ]


def _path(given: Any) -> Path | None:
    return Path(_text(given)) if given else None


def _processors(given: Any) -> str:
    parse(_text(given))
    return str(given)


def _one_of(*choices: str) -> Callable[[Any], str]:
    def read(given: Any) -> str:
        if given not in choices:
            raise ValueError(f"must be one of {', '.join(choices)}")
        return str(given)

    return read


def _priorities(given: Any) -> tuple[tuple[int, int], ...]:
    if not isinstance(given, list) or not all(isinstance(each, dict) for each in given):
        raise ValueError("must be a list of priority and shutdownGracePeriodSeconds")
    return tuple((int(each["priority"]), _whole(each["shutdownGracePeriodSeconds"])) for each in given)


def _shown_priorities(shown: tuple[tuple[int, int], ...]) -> list[dict[str, int]]:
    return [{"priority": priority, "shutdownGracePeriodSeconds": seconds} for priority, seconds in shown]


def _swap(given: Any) -> str:
    if not isinstance(given, dict) or given.keys() - {"swapBehavior"}:
        raise ValueError("must be an object with swapBehavior")
    return _one_of(*BEHAVIOURS)(given.get("swapBehavior") or NO_SWAP)


def _path_text(shown: Path | None) -> str:
    return str(shown or "")


FIELDS = (
    Field("address", "bind_address", _text),
    Field("port", "port", _whole),
    Field("tlsCertFile", "serving_cert", _path, _path_text),
    Field("tlsPrivateKeyFile", "serving_key", _path, _path_text),
    Field("clusterDomain", "cluster_domain", _text),
    Field("clusterDNS", "cluster_dns", _texts, list),
    Field("resolvConf", "resolv_conf", _path, _path_text),
    Field("nodeStatusReportFrequency", "status_report_s", _seconds, go_duration),
    Field("nodeLeaseDurationSeconds", "lease_duration_s", _whole),
    Field("cgroupRoot", "cgroup_root", _text),
    Field("memorySwap", "swap_behaviour", _swap, lambda shown: {"swapBehavior": shown}),
    Field("cgroupDriver", "cgroup_driver", _one_of(*DRIVERS)),
    Field("maxPods", "max_pods", _whole),
    Field("podPidsLimit", "pod_pids_limit", _limit, lambda shown: shown or -1),
    Field("containerLogMaxSize", "container_log_max_bytes", _bytes, lambda shown: f"{shown >> 20}Mi"),
    Field("containerLogMaxFiles", "container_log_max_files", _whole),
    Field("staticPodPath", "static_pod_path", _path, _path_text),
    Field("staticPodURL", "static_pod_url", _text),
    Field("evictionHard", "eviction_hard", _map, dict),
    Field("evictionSoft", "eviction_soft", _map, dict),
    Field("evictionSoftGracePeriod", "eviction_soft_grace", _map, dict),
    Field("evictionMinimumReclaim", "eviction_minimum_reclaim", _map, dict),
    Field("evictionMaxPodGracePeriod", "eviction_max_grace_s", _whole),
    Field("evictionPressureTransitionPeriod", "eviction_transition_s", _seconds, go_duration),
    Field("imageGCHighThresholdPercent", "image_gc_high_percent", _percent),
    Field("imageGCLowThresholdPercent", "image_gc_low_percent", _percent),
    Field("imageMinimumGCAge", "image_min_age_s", _seconds, go_duration),
    Field("maxParallelImagePulls", "max_parallel_pulls", _positive),
    Field("imageMaximumGCAge", "image_max_age_s", _seconds, go_duration),
    Field("cpuManagerPolicy", "cpu_manager_policy", _one_of("none", "static")),
    Field("reservedSystemCPUs", "reserved_cpus", _processors),
    Field("cpuManagerPolicyOptions", "cpu_manager_options", _options(cpu_options), dict),
    Field("memoryManagerPolicy", "memory_manager_policy", _one_of("None", "Static")),
    Field("reservedMemory", "reserved_memory", _reserved_memory, _shown_memory),
    Field("topologyManagerPolicy", "topology_manager_policy", _one_of(*POLICIES)),
    Field("topologyManagerScope", "topology_manager_scope", _one_of(*SCOPES)),
    Field("topologyManagerPolicyOptions", "topology_manager_options", _options(topology_options), dict),
    Field("kubeReserved", "kube_reserved", _reserved, dict),
    Field("systemReserved", "system_reserved", _reserved, dict),
    Field("shutdownGracePeriod", "shutdown_grace_s", _whole_seconds, go_duration),
    Field("shutdownGracePeriodCriticalPods", "shutdown_grace_critical_s", _whole_seconds, go_duration),
    Field("shutdownGracePeriodByPodPriority", "shutdown_grace_by_priority", _priorities, _shown_priorities),
)
_BY_NAME = {each.name: each for each in FIELDS}


def shown(settings: KubeletSettings) -> dict[str, Any]:
    """All fields at their present values."""
    return {each.name: each.show(getattr(settings, each.setting)) for each in FIELDS}


def configured(settings: KubeletSettings, document: Mapping[str, Any]) -> KubeletSettings:
    """`settings` with what `document` says. Raises BadConfiguration."""
    kind, version = document.get("kind", _KIND), document.get("apiVersion", _VERSION)
    if (kind, version) != (_KIND, _VERSION):
        raise BadConfiguration(f"not a {_KIND} of {_VERSION}, but {kind} of {version}")
    found: dict[str, Any] = {}
    for name, given in document.items():
        if name in ("kind", "apiVersion"):
            continue
        field = _BY_NAME.get(name)
        if field is None:
            raise BadConfiguration(f"{name}: unknown field, or one without a meaning here")
        try:
            found[field.setting] = field.read(given)
        except (ValueError, TypeError, KeyError) as error:
            raise BadConfiguration(f"{name}: {error}") from None
    made = replace(settings, **found)
    try:
        periods(made)
    except ValueError as error:
        raise BadConfiguration(str(error)) from None
    if made.cpu_manager_policy == "static" and not made.reserved_cpus and not reservations(made, 0, 0, 0).cpu_milli:
        raise BadConfiguration(
            "cpuManagerPolicy: static needs reservedSystemCPUs, or processors in kubeReserved or systemReserved"
        )
    return made


def load(settings: KubeletSettings, path: Path) -> KubeletSettings:
    """`settings` with what the file says. Raises BadConfiguration."""
    from tiphys.api.codec_yaml import parse_yaml  # heavy, and most kubelets have no file

    try:
        with path.open("rb") as file:
            document, wrong = parse_yaml(file.read(_MAX_BYTES))
        if wrong or not isinstance(document, dict):
            raise BadConfiguration(wrong[0] if wrong else "not a map")
        return configured(settings, document)
    except (OSError, ValueError, BadConfiguration) as error:
        raise BadConfiguration(f"{path}: {error}") from None
