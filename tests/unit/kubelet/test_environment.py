from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiphys.api.codec import from_json
from tiphys.api.kinds.core.pod.schema import Pod
from tiphys.api.kinds.core.service import Service
from tiphys.kubelet.environment import (
    BadEnvironment,
    EnvironmentSources,
    expand,
    make_environment,
    service_environment,
)

# Cases of upstream's expansion tests, by behaviour.
EXPANSIONS = {
    "$(A)": "1",
    "x$(A)y": "x1y",
    "$$(A)": "$(A)",
    "$$$(A)": "$1",
    "$(NOPE)": "$(NOPE)",
    "$(A": "$(A",
    "$A": "$A",
    "$": "$",
    "a$": "a$",
    "$(A)$(B)": "12",
    "$()": "$()",
    "$($(A))": "$($(A))",
    "\n$(A)": "\n1",
}


@pytest.mark.parametrize(("text", "wanted"), EXPANSIONS.items())
def test_expand(text: str, wanted: str) -> None:
    assert expand(text, {"A": "1", "B": "2", "EMPTY": ""}.get) == wanted


@given(st.text(alphabet=st.characters(blacklist_characters="$")))
def test_text_without_references_stays(text: str) -> None:
    assert expand(text, {}.get) == text
    assert expand(text.join(("$$", "")), {}.get) == text.join(("$", ""))


def pod_with(**container: object) -> Pod:
    spec = {"containers": [{"name": "c", **container}]}
    return from_json(Pod, {"metadata": {"name": "p", "namespace": "ns"}, "spec": spec})


def sources(**services: str) -> EnvironmentSources:
    return EnvironmentSources({"cm": None}, {"s": None}, services, lambda source: "field")


def test_services_come_last_but_can_be_referred_to() -> None:
    pod = pod_with(env=[{"name": "URL", "value": "http://$(DB_SERVICE_HOST)"}, {"name": "X", "value": "own"}])
    made = make_environment(pod, pod.spec.containers[0], sources(DB_SERVICE_HOST="10.0.0.1", X="service"))
    assert made.variables == {"URL": "http://10.0.0.1", "X": "own", "DB_SERVICE_HOST": "10.0.0.1"}


@pytest.mark.parametrize(
    ("container", "message"),
    [
        ({"envFrom": [{"configMapRef": {"name": "cm"}}]}, 'configmap "cm" not found'),
        ({"envFrom": [{"secretRef": {"name": "s"}}]}, 'secret "s" not found'),
        ({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}, 'secret "s" not found'),
    ],
)
def test_what_is_missing_is_named_unless_optional(container: dict[str, list[dict[str, object]]], message: str) -> None:
    pod = pod_with(**container)
    with pytest.raises(BadEnvironment, match=message):
        make_environment(pod, pod.spec.containers[0], sources())
    for source in pod.spec.containers[0].env_from:
        for reference in (source.config_map_ref, source.secret_ref):
            if reference is not None:
                reference.optional = True
    for variable in pod.spec.containers[0].env:
        if variable.value_from and variable.value_from.secret_key_ref:
            variable.value_from.secret_key_ref.optional = True
    assert make_environment(pod, pod.spec.containers[0], sources()).variables == {}


def test_service_variables_are_dockers() -> None:
    ports = [{"name": "p-1", "port": 80, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]
    web = from_json(
        Service, {"metadata": {"name": "my-web", "namespace": "ns"}, "spec": {"clusterIP": "10.0.0.9", "ports": ports}}
    )
    headless = from_json(Service, {"metadata": {"name": "h", "namespace": "ns"}, "spec": {"clusterIP": "None"}})
    api = from_json(
        Service,
        {
            "metadata": {"name": "kubernetes", "namespace": "default"},
            "spec": {"clusterIP": "10.0.0.1", "ports": ports[:1]},
        },
    )
    made = service_environment([web, headless, api], "ns", links=True)
    assert made["MY_WEB_SERVICE_HOST"] == "10.0.0.9" and made["MY_WEB_SERVICE_PORT_P_1"] == "80"
    assert made["MY_WEB_PORT"] == "tcp://10.0.0.9:80" and made["MY_WEB_PORT_53_UDP"] == "udp://10.0.0.9:53"
    assert made["KUBERNETES_SERVICE_HOST"] == "10.0.0.1" and not any(name.startswith("H_") for name in made)
    assert set(service_environment([web, api], "ns", links=False)) == {k for k in made if k.startswith("KUBERNETES")}
