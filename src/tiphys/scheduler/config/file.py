"""A KubeSchedulerConfiguration file into settings. What is wrong is told with file, line and field.

Settings that have no meaning here are read and left alone: all nodes are scored whatever `percentageOfNodesToScore`
says, and decisions are not taken in parallel.
"""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec
import yaml

from tiphys.base.cron import duration_s
from tiphys.scheduler.config import args as a
from tiphys.scheduler.config import schema
from tiphys.scheduler.config.checks import check, check_args, invalid
from tiphys.scheduler.config.problem import ConfigurationError, Problem, line_of
from tiphys.scheduler.settings import (
    DEFAULT_PLUGINS,
    ExtenderSettings,
    ExtenderTLS,
    PluginChoice,
    ProfileSettings,
    SchedulerSettings,
)

ARGS: dict[str, type[a.Args]] = {
    "NodeAffinity": a.NodeAffinityArgs,
    "NodeResourcesFit": a.NodeResourcesFitArgs,
    "NodeResourcesBalancedAllocation": a.NodeResourcesBalancedAllocationArgs,
    "PodTopologySpread": a.PodTopologySpreadArgs,
    "InterPodAffinity": a.InterPodAffinityArgs,
    "VolumeBinding": a.VolumeBindingArgs,
    "DefaultPreemption": a.DefaultPreemptionArgs,
    "DynamicResources": a.DynamicResourcesArgs,
}
_AT = re.compile(r" - at `\$\.?(.*)`$")
_SIZE_MAX = 1024 * 1024


class Loaded(msgspec.Struct, frozen=True):
    """What a file says."""

    settings: SchedulerSettings
    leader_election: schema.LeaderElection
    kubeconfig: str


def load(path: Path, others: Collection[str] = ()) -> Loaded:
    """Read `path`; `others` are names of plugins from elsewhere. Raises ConfigurationError."""
    try:
        with path.open(encoding="utf-8") as file:
            text = file.read(_SIZE_MAX + 1)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if len(text) > _SIZE_MAX:
        raise ConfigurationError(f"{path}: larger than {_SIZE_MAX} bytes")
    try:
        return parse(text, others)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise ConfigurationError(f"{path}, line {line}: {error.problem}") from None
    except Problem as problem:
        raise ConfigurationError(f"{path}, line {line_of(text, problem.path)}: {problem}") from None


def parse(text: str, others: Collection[str] = ()) -> Loaded:
    """Raises Problem, or yaml.MarkedYAMLError."""
    config = _converted(yaml.safe_load(text), schema.Configuration, "")
    check(config)
    return Loaded(
        settings=SchedulerSettings(
            profiles=tuple(_profile(p, f"profiles[{i}]", others) for i, p in enumerate(config.profiles)),
            extenders=tuple(_extender(e, f"extenders[{i}]") for i, e in enumerate(config.extenders)),
            backoff_first_s=float(config.pod_initial_backoff_seconds),
            backoff_cap_s=float(config.pod_max_backoff_seconds),
        ),
        leader_election=config.leader_election,
        kubeconfig=config.client_connection.kubeconfig,
    )


def _converted(value: Any, type_: Any, path: str) -> Any:
    try:
        return msgspec.convert(value, type_)
    except msgspec.ValidationError as error:
        text = str(error)
        found = _AT.search(text)
        inner = found.group(1) if found else ""
        where = f"{path}.{inner}" if path and inner else path or inner
        words = _AT.sub("", text)
        field = re.search(r"unknown field `(.+)`", words)
        if field:
            where = f"{where}.{field.group(1)}" if where else field.group(1)
        raise Problem(where, words) from None


def _profile(profile: schema.Profile, at: str, others: Collection[str]) -> ProfileSettings:
    given: dict[str, Any] = {}
    for index, entry in enumerate(profile.plugin_config):
        here = f"{at}.pluginConfig[{index}]"
        if entry.name in given:
            raise Problem(here, f'Duplicate value: "{entry.name}"')
        given[entry.name] = _args(entry, here, others)
    return ProfileSettings(profile.scheduler_name, _choices(profile.plugins, f"{at}.plugins", others), given)


def _args(entry: schema.PluginConfig, at: str, others: Collection[str]) -> Any:
    if entry.name in others:
        return entry.args or {}
    type_ = ARGS.get(entry.name)
    if type_ is None:
        known = entry.name in DEFAULT_PLUGINS
        raise Problem(f"{at}.name", f"{entry.name} {'takes no arguments' if known else 'is no plugin'}")
    found = _converted(entry.args or {}, type_, f"{at}.args")
    if found.kind not in ("", f"{entry.name}Args") or found.api_version not in ("", schema.API_VERSION):
        raise invalid(f"{at}.args", found.kind, "has to match plugin args")
    check_args(found, f"{at}.args")
    return found


def _choices(plugins: schema.Plugins, at: str, others: Collection[str]) -> tuple[PluginChoice, ...]:
    """The plugins of a profile: the defaults, without what is disabled, with what is enabled, in upstream's order."""
    for point in plugins.__struct_fields__:
        _names(getattr(plugins, point), f"{at}.{_camel(point)}", others)
    whole = plugins.multi_point
    weights = _merged(DEFAULT_PLUGINS, whole)
    points = (plugins.pre_enqueue, plugins.filter, plugins.post_filter, plugins.score)
    for added in (plugin for point in points for plugin in point.enabled):
        weights.setdefault(added.name, added.weight)
    return tuple(
        PluginChoice(
            name,
            _score_weight(plugins.score, name, weight),
            filters=not _off(plugins.filter, name) and not _off(plugins.pre_filter, name),
            scores=not _off(plugins.score, name),
        )
        for name, weight in weights.items()
        if not _off(plugins.post_filter, name) or name != "DefaultPreemption"
    )


def _merged(defaults: Any, chosen: schema.PluginSet) -> dict[str, int]:
    off = {plugin.name for plugin in chosen.disabled}
    stated = {plugin.name: plugin.weight for plugin in chosen.enabled}
    kept = {} if "*" in off else {name: weight for name, weight in defaults.items() if name not in off}
    weights = {name: stated.get(name) or weight for name, weight in kept.items()}
    for name, weight in stated.items():
        weights.setdefault(name, weight or DEFAULT_PLUGINS.get(name, 0))
    return weights


def _off(point: schema.PluginSet, name: str) -> bool:
    off = {plugin.name for plugin in point.disabled}
    return (name in off or "*" in off) and name not in {plugin.name for plugin in point.enabled}


def _score_weight(point: schema.PluginSet, name: str, weight: int) -> int:
    stated = {plugin.name: plugin.weight for plugin in point.enabled}
    return stated.get(name) or weight


def _names(point: schema.PluginSet, at: str, others: Collection[str]) -> None:
    for index, plugin in enumerate(point.enabled):
        if plugin.name not in DEFAULT_PLUGINS and plugin.name not in others:
            raise Problem(f"{at}.enabled[{index}].name", f"plugin {plugin.name} does not exist")
        if plugin.weight < 0:
            raise invalid(f"{at}.enabled[{index}].weight", plugin.weight, "must not be negative")
    names = [plugin.name for plugin in point.enabled]
    for index, name in enumerate(names):
        if name in names[:index]:
            raise Problem(f"{at}.enabled[{index}].name", f'plugin "{name}" already registered')


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))


def _extender(extender: schema.Extender, at: str) -> ExtenderSettings:
    try:
        timeout_s = duration_s(extender.http_timeout)
    except ValueError as error:
        raise Problem(f"{at}.httpTimeout", str(error)) from None
    tls = extender.tls_config
    if tls is None and extender.enable_https:
        tls = schema.ExtenderTLSConfig(insecure=True)
    return ExtenderSettings(
        url_prefix=extender.url_prefix,
        filter_verb=extender.filter_verb,
        preempt_verb=extender.preempt_verb,
        prioritize_verb=extender.prioritize_verb,
        weight=extender.weight or 1,
        bind_verb=extender.bind_verb,
        timeout_s=timeout_s or 5.0,
        node_cache_capable=extender.node_cache_capable,
        managed_resources=tuple((r.name, r.ignored_by_scheduler) for r in extender.managed_resources),
        ignorable=extender.ignorable,
        tls=None if tls is None else _tls(tls, f"{at}.tlsConfig"),
    )


def _tls(tls: schema.ExtenderTLSConfig, at: str) -> ExtenderTLS:
    def data(name: str) -> bytes:
        try:
            return b64decode(getattr(tls, name), validate=True)
        except ValueError:
            raise Problem(f"{at}.{_camel(name)}", "is not base64") from None

    return ExtenderTLS(
        insecure=tls.insecure,
        server_name=tls.server_name,
        ca_file=tls.ca_file,
        ca_data=data("ca_data"),
        cert_file=tls.cert_file,
        cert_data=data("cert_data"),
        key_file=tls.key_file,
        key_data=data("key_data"),
    )
