from typing import Any

import pytest

from tiphys.kubectl.flags import UsageError
from tiphys.kubectl.forwarding import Pair
from tiphys.kubectl.port_forward import checked, pair_of

POD: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {"containers": [{"name": "c", "ports": [{"name": "http", "containerPort": 8080}]}]},
}
SERVICE: dict[str, Any] = {
    "kind": "Service",
    "metadata": {"name": "s"},
    "spec": {
        "clusterIP": "10.96.0.7",
        "ports": [
            {"name": "web", "port": 80, "targetPort": "http"},
            {"name": "plain", "port": 81},
            {"name": "names", "port": 53, "protocol": "UDP"},
        ],
    },
}


@pytest.mark.parametrize(
    ("word", "obj", "pair"),
    [
        ("80", POD, Pair(80, 80)),
        ("8000:80", POD, Pair(8000, 80)),
        (":80", POD, Pair(0, 80)),
        ("http", POD, Pair(8080, 8080)),
        ("80", SERVICE, Pair(80, 8080)),
        ("web", SERVICE, Pair(80, 8080)),
        ("9000:web", SERVICE, Pair(9000, 8080)),
        ("81", SERVICE, Pair(81, 81)),
    ],
)
def test_words_become_ports(word: str, obj: dict[str, Any], pair: Pair) -> None:
    assert pair_of(word, obj, POD) == pair


@pytest.mark.parametrize(
    ("word", "obj", "message"),
    [
        ("1:2:3", POD, "invalid port format '1:2:3'"),
        ("80:", POD, "remote port cannot be empty"),
        ("https", POD, "Pod 'p' does not have a named port 'https'"),
        ("0", POD, "error parsing remote port '0'"),
        ("x:80", POD, "error parsing local port 'x'"),
        ("82", SERVICE, "Service s does not have a service port 82"),
        ("api", SERVICE, "Service 's' does not have a named port 'api'"),
        ("53", SERVICE, "UDP protocol is not supported for 53"),
    ],
)
def test_words_that_make_no_sense(word: str, obj: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pair_of(word, obj, POD)


def test_a_headless_service_has_no_translation() -> None:
    headless = {**SERVICE, "spec": {**SERVICE["spec"], "clusterIP": "None"}}
    assert pair_of("80", headless, POD) == Pair(80, 80)


def test_addresses_are_numbers_or_localhost() -> None:
    assert checked(["localhost", "::1", "localhost"]) == ["localhost", "::1"]
    with pytest.raises(UsageError, match=r"example\.com is not a valid IP"):
        checked(["example.com"])
