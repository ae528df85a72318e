"""What must hold beyond types. Source: pkg/scheduler/apis/config/validation/{validation,validation_pluginargs}.go."""

from __future__ import annotations

from collections.abc import Sequence

from tiphys.scheduler.config import args as a
from tiphys.scheduler.config.problem import Problem
from tiphys.scheduler.config.schema import API_VERSION, KIND, Configuration

_SYSTEM, _LIST = "System", "List"


def invalid(path: str, value: object, text: str) -> Problem:
    shown = f'"{value}"' if isinstance(value, str) else value
    return Problem(path, f"Invalid value: {shown}: {text}")


def check(config: Configuration) -> None:
    """Raises Problem."""
    if (config.api_version, config.kind) != (API_VERSION, KIND):
        raise Problem("apiVersion", f"must be {API_VERSION}, with kind {KIND}")
    if config.parallelism <= 0:
        raise invalid("parallelism", config.parallelism, "should be an integer value greater than zero")
    if config.leader_election.resource_lock != "leases":
        raise invalid(
            "leaderElection.resourceLock", config.leader_election.resource_lock, 'resourceLock value must be "leases"'
        )
    if config.pod_initial_backoff_seconds <= 0:
        raise invalid("podInitialBackoffSeconds", config.pod_initial_backoff_seconds, "must be greater than 0")
    if config.pod_max_backoff_seconds < config.pod_initial_backoff_seconds:
        raise invalid(
            "podMaxBackoffSeconds",
            config.pod_max_backoff_seconds,
            "must be greater than or equal to PodInitialBackoffSeconds",
        )
    if not config.profiles:
        raise Problem("profiles", "Required value")
    _percentage("percentageOfNodesToScore", config.percentage_of_nodes_to_score)
    names: list[str] = []
    for index, profile in enumerate(config.profiles):
        at = f"profiles[{index}]"
        if not profile.scheduler_name:
            raise Problem(f"{at}.schedulerName", "Required value")
        if profile.scheduler_name in names:
            raise Problem(f"{at}.schedulerName", f'Duplicate value: "{profile.scheduler_name}"')
        names.append(profile.scheduler_name)
        _percentage(f"{at}.percentageOfNodesToScore", profile.percentage_of_nodes_to_score)
    _extenders(config)


def _percentage(path: str, value: int | None) -> None:
    if value is not None and not 0 <= value <= 100:
        raise invalid(path, value, "not in valid range [0-100]")


def _extenders(config: Configuration) -> None:
    binders = 0
    for index, extender in enumerate(config.extenders):
        at = f"extenders[{index}]"
        if extender.prioritize_verb and extender.weight <= 0:
            raise invalid(f"{at}.weight", extender.weight, "must have a positive weight applied to it")
        binders += bool(extender.bind_verb)
        names = [resource.name for resource in extender.managed_resources]
        for name in names:
            if names.count(name) > 1:
                raise invalid(f"{at}.managedResources", name, "duplicate extender managed resource name")
    if binders > 1:
        raise invalid(
            "extenders", f"found {binders} extenders implementing bind", "only one extender can implement bind"
        )


def check_args(given: a.Args, at: str) -> None:
    """The arguments of one plugin, which stand at `at`. Raises Problem."""
    match given:
        case a.NodeResourcesFitArgs():
            _fit(given, at)
        case a.NodeResourcesBalancedAllocationArgs():
            _resources(given.resources, f"{at}.resources", only_one=True)
        case a.InterPodAffinityArgs():
            if not 0 <= given.hard_pod_affinity_weight <= 100:
                raise invalid(
                    f"{at}.hardPodAffinityWeight", given.hard_pod_affinity_weight, "not in valid range [0-100]"
                )
        case a.PodTopologySpreadArgs():
            _spread(given, at)
        case a.VolumeBindingArgs():
            if given.bind_timeout_seconds < 0:
                raise invalid(
                    f"{at}.bindTimeoutSeconds",
                    given.bind_timeout_seconds,
                    "invalid BindTimeoutSeconds, should not be a negative value",
                )
        case a.DefaultPreemptionArgs():
            if not 0 <= given.min_candidate_nodes_percentage <= 100:
                raise invalid(
                    f"{at}.minCandidateNodesPercentage",
                    given.min_candidate_nodes_percentage,
                    "not in valid range [0, 100]",
                )
            if given.min_candidate_nodes_absolute < 0:
                raise invalid(
                    f"{at}.minCandidateNodesAbsolute", given.min_candidate_nodes_absolute, "not in valid range [0, inf)"
                )


def _fit(given: a.NodeResourcesFitArgs, at: str) -> None:
    strategy = given.scoring_strategy
    here = f"{at}.scoringStrategy"
    if strategy.type not in (a.LEAST, a.MOST, a.RATIO):
        raise Problem(
            f"{here}.type",
            f'Unsupported value: "{strategy.type}": supported values: "{a.LEAST}", "{a.MOST}", "{a.RATIO}"',
        )
    _resources(strategy.resources, f"{here}.resources")
    if strategy.type == a.RATIO:
        ratio = strategy.requested_to_capacity_ratio
        _shape(ratio.shape if ratio is not None else (), f"{here}.requestedToCapacityRatio.shape")
    for index, group in enumerate(given.ignored_resource_groups):
        if "/" in group:
            raise invalid(f"{at}.ignoredResourceGroups[{index}]", group, "resource group name can't contain '/'")


def _resources(resources: Sequence[a.ResourceSpec], at: str, *, only_one: bool = False) -> None:
    for index, resource in enumerate(resources):
        if not 1 <= resource.weight <= (1 if only_one else 100):
            text = "must be 1" if only_one else f"resource weight of {resource.name} not in valid range [1, 100]"
            raise invalid(f"{at}[{index}].weight", resource.weight, text)


def _shape(shape: Sequence[a.UtilizationShapePoint], at: str) -> None:
    if not shape:
        raise Problem(at, "Required value: at least one point must be specified")
    for index, point in enumerate(shape):
        here = f"{at}[{index}]"
        if not 0 <= point.utilization <= 100:
            raise invalid(f"{here}.utilization", point.utilization, "not in valid range [0-100]")
        if not 0 <= point.score <= 10:
            raise invalid(f"{here}.score", point.score, "not in valid range [0-10]")
        if index and point.utilization <= shape[index - 1].utilization:
            raise invalid(
                f"{here}.utilization", point.utilization, "utilization values must be sorted in increasing order"
            )


def _spread(given: a.PodTopologySpreadArgs, at: str) -> None:
    if given.defaulting_type not in (_SYSTEM, _LIST):
        raise Problem(
            f"{at}.defaultingType",
            f'Unsupported value: "{given.defaulting_type}": supported values: "{_SYSTEM}", "{_LIST}"',
        )
    if given.defaulting_type == _SYSTEM and given.default_constraints:
        raise invalid(
            f"{at}.defaultingType", _SYSTEM, "when .defaultConstraints are not empty the type must be set to List"
        )
    for index, constraint in enumerate(given.default_constraints):
        here = f"{at}.defaultConstraints[{index}]"
        if constraint.max_skew <= 0:
            raise invalid(f"{here}.maxSkew", constraint.max_skew, "must be greater than zero")
        if not constraint.topology_key:
            raise Problem(f"{here}.topologyKey", "can not be empty")
        if constraint.when_unsatisfiable not in ("DoNotSchedule", "ScheduleAnyway"):
            raise Problem(
                f"{here}.whenUnsatisfiable",
                f'Unsupported value: "{constraint.when_unsatisfiable}": supported values: '
                '"DoNotSchedule", "ScheduleAnyway"',
            )
        if constraint.label_selector is not None:
            raise Problem(
                f"{here}.labelSelector",
                "Forbidden: constraint must not define a selector, as they deduced for each pod",
            )
