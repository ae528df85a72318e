"""What the static CPU policy may be told besides (`cpuManagerPolicyOptions`).

Source: pkg/kubelet/cm/cpumanager/policy_options.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tiphys.kubelet.resources.hints import switched


@dataclass(frozen=True, slots=True)
class CpuOptions:
    full_cores: bool = False
    """Only whole cores are given: no two containers are threads of one."""
    distribute: bool = False
    """What needs several NUMA nodes takes as much of each."""
    strict: bool = False
    """Reserved processors are not for containers at all."""
    by_cache: bool = False
    """Processors that share a last-level cache first."""


PLAIN = CpuOptions()


_FIELDS = {
    "full-pcpus-only": "full_cores",
    "distribute-cpus-across-numa": "distribute",
    "strict-cpu-reservation": "strict",
    "prefer-align-cpus-by-uncorecache": "by_cache",
}
_ALPHA = ("align-by-socket", "distribute-cpus-across-cores")
"""Off unless a feature gate is on, and this kubelet has no gates."""


def cpu_options(given: Mapping[str, str]) -> CpuOptions:
    """Raises ValueError."""
    found: dict[str, bool] = {}
    for name, text in given.items():
        if name in _ALPHA:
            raise ValueError(f'CPU Manager Policy Alpha-level Options not enabled, but option "{name}" provided')
        if name not in _FIELDS:
            raise ValueError(f'unknown CPU Manager Policy option: "{name}"')
        found[_FIELDS[name]] = switched(name, text)
    options = CpuOptions(**found)
    if options.by_cache and options.distribute:
        names = "prefer-align-cpus-by-uncorecache and distribute-cpus-across-numa"
        raise ValueError(f"static policy options {names} can not be used at the same time")
    return options
