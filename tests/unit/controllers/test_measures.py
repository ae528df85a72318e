"""What controllers show at /metrics."""

from __future__ import annotations

from typing import Any

import pytest

from tiphys.api.errors import Forbidden
from tiphys.api.kind import new
from tiphys.api.kinds import (
    CRONJOB,
    JOB,
    NAMESPACE,
    NODE,
    PERSISTENTVOLUME,
    PERSISTENTVOLUMECLAIM,
    POD,
    REPLICASET,
    SERVICE,
)
from tiphys.api.kinds.core.pod.volumes import EphemeralVolumeSource, Volume
from tiphys.api.kinds.core.references import Taint
from tiphys.base.metrics import Metrics
from tiphys.base.workqueue import WorkQueue
from tiphys.controllers import (
    cronjob,
    endpointslice,
    ephemeral_volume,
    job,
    node_ipam,
    node_lifecycle,
    persistentvolume_binder,
    pod_gc,
    replicaset,
    root_ca,
    taint_eviction,
)
from tiphys.controllers._metrics import ControllerMetrics
from tiphys.controllers._registry import CONTROLLERS
from tiphys.controllers._spec import Key
from tiphys.controllers.settings import ControllerSettings
from tiphys.testing.clock import FakeClock

from . import objects
from .memory import Bench
from .test_every_controller import populate


@pytest.mark.parametrize("spec", CONTROLLERS, ids=lambda spec: spec.name)
def test_every_page_can_be_shown(spec: Any) -> None:
    b = Bench(spec)
    populate(b, 7)
    page = b.metrics.render().decode()
    for metric in spec.metrics:
        assert f"# TYPE {metric.name} " in page


def test_no_two_controllers_share_a_name() -> None:
    ControllerMetrics(Metrics(), CONTROLLERS, dict, lambda _: None)


async def test_a_queue_says_how_long_keys_wait_and_work() -> None:
    clock = FakeClock()
    queue: WorkQueue[str] = WorkQueue(clock)
    metrics = Metrics()
    ControllerMetrics(metrics, [], lambda: {"some": queue.statistics()}, lambda _: None)
    queue.add("a")
    await clock.advance(3)
    assert await queue.get() == "a" and queue.last_wait_s == 3
    await clock.advance(2)
    page = metrics.render().decode()
    assert 'workqueue_adds_total{name="some"} 1' in page
    assert 'workqueue_unfinished_work_seconds{name="some"} 2' in page
    assert 'workqueue_longest_running_processor_seconds{name="some"} 2' in page
    queue.done("a")
    assert 'workqueue_unfinished_work_seconds{name="some"} 0' in metrics.render().decode()


async def test_jobs() -> None:
    b = Bench(job.SPEC)
    b.client.put(JOB, objects.job(completions=1))
    key = Key("default", "sum")
    await b.settle(key)
    prefix = "job_controller_"
    assert b.figure(f'{prefix}job_pods_creation_total{{reason="new",status="succeeded"}}') == 1
    (pod,) = b.client.all(POD)
    b.client.edit(POD, pod.metadata.name, "default", lambda each: setattr(each.status, "phase", "Succeeded"))
    await b.settle(key)
    ended = 'completion_mode="NonIndexed",result="succeeded"'
    assert b.figure(f"{prefix}job_pods_finished_total{{{ended}}}") == 1
    assert b.figure(f'{prefix}jobs_finished_total{{{ended},reason="CompletionsReached"}}') == 1
    created = 'completion_mode="NonIndexed",result="success",action="pods_created"'
    assert b.figure(f"{prefix}job_sync_duration_seconds_count{{{created}}}") == 1


def test_jobs_of_other_controllers() -> None:
    b = Bench(job.SPEC)
    for name, by in (
        ("ours", None),
        ("ours-too", job.CONTROLLER),
        ("a", "example.com/queue"),
        ("b", "example.com/queue"),
    ):
        made = objects.job(name)
        made.spec.managed_by = by
        b.client.put(JOB, made)
    b.client.edit(JOB, "a", "default", lambda each: each.metadata.labels.update(changed="yes"))
    assert b.figure('job_controller_jobs_by_external_controller_total{controller_name="example.com/queue"}') == 2


async def test_pods_that_ended_and_are_not_counted_yet() -> None:
    b = Bench(job.SPEC)

    def figures() -> list[float]:
        name = "job_controller_terminated_pods_tracking_finalizer_total"
        return [b.figure(f'{name}{{event="{event}"}}') for event in ("add", "delete")]

    for name in ("kept", "released", "lost"):
        pod = objects.pod(name)
        pod.metadata.finalizers = [job.FINALIZER]
        b.client.put(POD, pod)
    assert figures() == [0, 0]
    for name in ("kept", "released", "lost"):
        b.client.edit(POD, name, "default", lambda each: setattr(each.status, "phase", "Failed"))
        b.client.edit(POD, name, "default", lambda each: each.metadata.labels.update(seen="yes"))
    assert figures() == [3, 0]
    b.client.edit(POD, "released", "default", lambda each: each.metadata.finalizers.clear())
    b.client.edit(POD, "lost", "default", lambda each: setattr(each.metadata, "deletion_timestamp", objects.NOW))
    b.client.edit(POD, "lost", "default", lambda each: each.metadata.finalizers.clear())
    assert figures() == [3, 2]


async def test_ranges_of_nodes_that_went() -> None:
    b = Bench(node_ipam.SPEC, settings=ControllerSettings(cluster_cidr="10.0.0.0/16,fd00::/48"))
    for name in ("n1", "n2"):
        b.client.put(NODE, objects.node(name))
        await b.apply(Key("", name))
    await b.client.delete(NODE, "n1")
    for family in ("10.0.0.0/16", "fd00::/48"):
        assert b.figure(f'node_ipam_controller_cidrset_cidrs_allocations_total{{clusterCIDR="{family}"}}') == 2
        assert b.figure(f'node_ipam_controller_cidrset_cidrs_releases_total{{clusterCIDR="{family}"}}') == 1


async def test_a_refusal_is_counted_as_such() -> None:
    b = Bench(job.SPEC)
    b.client.put(JOB, objects.job(completions=1))
    b.client.refuse = lambda verb, kind, name: Forbidden("no") if (verb, kind) == ("create", POD) else None
    with pytest.raises(Forbidden):
        await b.apply(Key("default", "sum"))
    assert b.figure('job_controller_job_pods_creation_total{reason="new",status="failed"}') == 1
    line = 'job_controller_job_syncs_total{completion_mode="NonIndexed",result="error",action="pods_created"}'
    assert b.figure(line) == 1


async def test_pods_that_others_forgot() -> None:
    b = Bench(pod_gc.SPEC)
    b.client.put(POD, objects.pod("lost", node="gone"))
    await b.clock.advance(41)
    await b.apply(Key("", "gone"))
    assert b.figure('pod_gc_collector_force_delete_pods_total{namespace="default",reason="orphaned"}') == 1


async def test_evicted_pods() -> None:
    b = Bench(taint_eviction.SPEC)
    node = objects.node("n1")
    node.spec.taints = [Taint(key="x", effect="NoExecute", time_added=objects.NOW)]
    b.client.put(NODE, node)
    b.client.put(POD, objects.pod("p", node="n1"))
    await b.apply(Key("default", "p"))
    assert b.figure("taint_eviction_controller_pod_deletions_total") == 1
    assert b.figure("taint_eviction_controller_pod_deletion_duration_seconds_count") == 1


async def test_slices_of_services() -> None:
    b = Bench(endpointslice.SPEC)
    b.client.put(SERVICE, objects.service())
    b.client.put(POD, objects.pod("p", node="n1", ready=True, ip="10.0.0.1", app="web"))
    await b.settle(Key("default", "web"))
    prefix = "endpoint_slice_controller_"
    assert b.figure(f'{prefix}changes{{operation="create"}}') == 1
    assert b.figure(f"{prefix}endpoints_added_per_sync_sum") == 1
    assert (b.figure(f"{prefix}num_endpoint_slices"), b.figure(f"{prefix}endpoints_desired")) == (1, 1)


async def test_zones_and_ranges_of_nodes() -> None:
    b = Bench(node_lifecycle.SPEC)
    b.client.put(NODE, objects.node("n1"))
    b.client.put(NODE, objects.node("n2", "False"))
    assert b.figure('node_collector_zone_health{zone=":"}') == 50
    assert b.figure('node_collector_unhealthy_nodes_in_zone{zone=":"}') == 1
    b = Bench(node_ipam.SPEC, ControllerSettings(cluster_cidr="10.244.0.0/16"))
    b.client.put(NODE, objects.node("n1"))
    await b.settle(Key("", "n1"))
    assert b.figure('node_ipam_controller_cidrset_cidrs_allocations_total{clusterCIDR="10.244.0.0/16"}') == 1
    assert b.figure('node_ipam_controller_cidrset_usage_cidrs{clusterCIDR="10.244.0.0/16"}') == 1 / 256


async def test_volumes_and_claims() -> None:
    b = Bench(persistentvolume_binder.SPEC)
    volume = new(PERSISTENTVOLUME, "v")
    volume.spec.storage_class_name, volume.status.phase = "fast", "Bound"
    b.client.put(PERSISTENTVOLUME, volume)
    claim = new(PERSISTENTVOLUMECLAIM, "c", "default")
    claim.spec.storage_class_name = "fast"
    b.client.put(PERSISTENTVOLUMECLAIM, claim)
    assert b.figure('pv_collector_bound_pv_count{storage_class="fast"}') == 1
    labels = 'namespace="default",storage_class="fast",volume_attributes_class=""'
    assert b.figure(f"pv_collector_unbound_pvc_count{{{labels}}}") == 1
    b = Bench(ephemeral_volume.SPEC)
    pod = objects.pod("p")
    pod.spec.volumes = [Volume(name="v", ephemeral=EphemeralVolumeSource())]
    b.client.put(POD, pod)
    await b.apply(Key("default", "p"))
    assert b.figure("ephemeral_volume_controller_create_total") == 1


async def test_answers_of_the_publisher() -> None:
    b = Bench(root_ca.SPEC)
    b.client.put(NAMESPACE, objects.namespace("default"))
    b.client.refuse = lambda verb, kind, name: Forbidden("no") if verb == "create" else None
    with pytest.raises(Forbidden):
        await b.apply(Key("", "default"))
    assert b.figure('root_ca_cert_publisher_sync_total{code="403"}') == 1


async def test_scaling_down_and_schedules() -> None:
    b = Bench(replicaset.SPEC)
    owner = b.client.put(REPLICASET, objects.replica_set("web", 0))
    pod = objects.pod("p", node="n1", ready=True, app="web")
    pod.metadata.owner_references = [objects.owner_reference(REPLICASET, owner)]
    b.client.put(POD, pod)
    await b.clock.advance(60)
    await b.apply(Key("default", "web"))
    assert b.figure("replicaset_controller_sorting_deletion_age_ratio_count") == 1
    b = Bench(cronjob.SPEC)
    b.client.put(CRONJOB, objects.cron_job())
    await b.clock.advance(301)
    await b.apply(Key("default", "nightly"))
    assert b.figure("cronjob_controller_job_creation_skew_duration_seconds_count") == 1
