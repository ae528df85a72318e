"""Feature gates: what the flag may say, and fields whose gate is off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tiphys.api import codec, features
from tiphys.api.kinds import DEPLOYMENT, KINDS, POD, PREVIEW_KINDS, STATEFULSET
from tiphys.api.meta.schema import copy_of


@pytest.fixture(autouse=True)
def _defaults() -> Iterator[None]:
    features.use({})
    yield
    features.use({})


@pytest.mark.parametrize(
    ("items", "message"),
    [
        (["Nope=true"], "unrecognized feature gate: Nope"),
        (["MemoryQoS"], "missing bool value for MemoryQoS"),
        (["MemoryQoS=yes"], 'invalid value of MemoryQoS=yes, err: strconv.ParseBool: parsing "yes": invalid syntax'),
        (
            ["AnyVolumeDataSource=false"],
            "cannot set feature gate AnyVolumeDataSource to false, feature is locked to true",
        ),
    ],
)
def test_what_means_nothing_is_refused_in_upstreams_words(items: list[str], message: str) -> None:
    with pytest.raises(ValueError) as error:
        features.parse(items)
    assert str(error.value) == message


def test_a_gate_by_name_weighs_more_than_its_stage() -> None:
    said = features.parse(["AllAlpha=true", "ContainerStopSignals=false", "AnyVolumeDataSource=true"])
    assert said["GenericWorkload"]
    assert not said["ContainerStopSignals"]
    assert "MaxUnavailableStatefulSet" not in said
    features.use(said)
    assert features.enabled("GenericWorkload")
    assert features.state("AnyVolumeDataSource")
    assert not features.state("MaxUnavailableStatefulSet")


def test_those_that_change_nothing_are_named() -> None:
    said = features.parse(["CBORServingAndStorage=true", "GenericWorkload=true", "WatchList=true"])
    assert features.without_effect(said) == ["CBORServingAndStorage"]


def test_gates_of_fields_are_known_and_off_by_default() -> None:
    for kind in (*KINDS, *PREVIEW_KINDS):
        for status in (False, True):
            for gate, _ in features._gated(kind.schema, status):
                assert gate in features.HONOURED
    assert not any(features.known()[gate].default for gate in features.HONOURED)


def _deployment(container: dict[str, Any], **spec: Any) -> Any:
    return codec.from_json(
        DEPLOYMENT.schema, {"spec": {"template": {"spec": {"containers": [{"name": "c", **container}], **spec}}}}
    )


def test_fields_without_their_gate_are_dropped_wherever_they_are() -> None:
    sources = [{"clusterTrustBundle": {"path": "p"}}, {"secret": {"name": "s"}}]
    lifecycle = {"stopSignal": "SIGUSR1"}
    obj = _deployment({"lifecycle": lifecycle}, volumes=[{"name": "v", "projected": {"sources": sources}}])
    features.drop_disabled(DEPLOYMENT.schema, obj, None)
    spec = codec.to_json(obj)["spec"]["template"]["spec"]
    assert spec["volumes"][0]["projected"]["sources"] == [{}, {"secret": {"name": "s"}}]
    assert "lifecycle" not in spec["containers"][0]


def test_what_is_stored_already_may_stay() -> None:
    old = _deployment({"lifecycle": {"stopSignal": "SIGUSR1"}})
    new = copy_of(old)
    features.drop_disabled(DEPLOYMENT.schema, new, old)
    assert new == old


def test_with_its_gate_a_field_stays() -> None:
    features.use({"ContainerStopSignals": True})
    obj = codec.from_json(POD.schema, {"spec": {"containers": [{"lifecycle": {"stopSignal": "SIGUSR1"}}]}})
    features.drop_disabled(POD.schema, obj, None)
    assert obj.spec.containers[0].lifecycle.stop_signal == "SIGUSR1"


@pytest.mark.parametrize(("on", "expected"), [(False, None), (True, 1)])
def test_stateful_sets_have_a_default_only_with_the_gate(on: bool, expected: int | None) -> None:
    features.use({"MaxUnavailableStatefulSet": on})
    obj = codec.from_json(STATEFULSET.schema, {})
    STATEFULSET.default(obj)
    assert obj.spec.update_strategy.rolling_update.max_unavailable == expected
