"""What the audit log says of requests, and that it is bounded."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from api_harness import RunningServer
from remote_services import Service

from tiphys.apiserver.chain.audit.backends import LogBackend
from tiphys.apiserver.chain.audit.policy import LEVELS, load
from tiphys.apiserver.configfile import ConfigError
from tiphys.apiserver.request import RequestInfo, User
from tiphys.apiserver.security import AuditSettings, SecuritySettings
from tiphys.testing.clock import FakeClock

POLICY = """
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- {level: None, nonResourceURLs: ["/healthz*", "/livez"]}
- {level: None, users: [quiet]}
- {level: Metadata, resources: [{group: "", resources: [secrets]}]}
- level: RequestResponse
  omitManagedFields: true
  resources: [{group: "", resources: [configmaps]}]
- {level: Request, verbs: [create, patch], resources: [{group: "", resources: ["namespaces", "pods/*"]}]}
- {level: Metadata, omitStages: []}
"""


@pytest.fixture(scope="module")
def sink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("sink"), lambda _path, _body: (200, {}))
    yield made
    made.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, sink: Service) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("audit")
    policy = directory / "policy.yaml"
    policy.write_text(POLICY)
    settings = AuditSettings(
        policy_file=policy, log_path=directory / "audit.log", webhook_config_file=sink.kubeconfig,
        webhook_batch_wait_s=0.2,
    )  # fmt: skip
    running = RunningServer(directory, security=SecuritySettings(audit=settings))
    running.start()
    yield running
    running.stop()


def events(api: RunningServer, audit_id: str, count: int = 1) -> list[dict[str, Any]]:
    path = api.settings.security.audit.log_path
    assert path is not None
    end = time.monotonic() + 10
    while True:
        lines = path.read_text().splitlines() if path.exists() else []
        found = [event for event in map(json.loads, lines) if event["auditID"] == audit_id]
        if len(found) >= count or time.monotonic() > end:
            assert len(found) == count, found
            return found
        time.sleep(0.05)


def test_whole_requests_and_answers(api: RunningServer, sink: Service) -> None:
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}, "data": {"k": "v"}}
    path = "/api/v1/namespaces/default/configmaps"
    made = api.request("POST", f"{path}?fieldManager=t", body, headers={"Audit-ID": "whole", "User-Agent": "test/1"})
    assert made.headers["Audit-Id"] == "whole"
    event = events(api, "whole")[0]
    assert (event["level"], event["stage"], event["verb"]) == ("RequestResponse", "ResponseComplete", "create")
    assert event["requestURI"] == f"{path}?fieldManager=t"
    assert event["user"]["username"] == "kubernetes-admin"
    assert event["sourceIPs"] == ["127.0.0.1"]
    assert event["userAgent"] == "test/1"
    assert event["objectRef"]["name"] == "a"
    assert event["requestObject"] == body
    assert event["responseObject"]["data"] == {"k": "v"}
    assert "managedFields" not in event["responseObject"]["metadata"]
    assert event["responseStatus"]["code"] == 201
    assert event["annotations"]["authorization.k8s.io/decision"] == "allow"
    end = time.monotonic() + 10
    while not any(item["auditID"] == "whole" for batch in sink.asked for item in batch["items"]):
        assert time.monotonic() < end
        time.sleep(0.05)
    assert sink.asked[0]["kind"] == "EventList"


def test_secrets_are_metadata_only(api: RunningServer) -> None:
    body = {"metadata": {"name": "s"}, "data": {"k": "c2VjcmV0"}}
    api.request("POST", "/api/v1/namespaces/default/secrets", body, headers={"Audit-ID": "secret"})
    event = events(api, "secret")[0]
    assert event["level"] == "Metadata"
    assert "c2VjcmV0" not in json.dumps(event)
    assert "requestObject" not in event


def test_refusals_say_why(api: RunningServer) -> None:
    api.request("GET", "/api/v1/nodes", token=None, tls=api.tls("bob"), headers={"Audit-ID": "refused"})
    event = events(api, "refused")[0]
    assert event["responseStatus"]["code"] == 403
    assert event["responseStatus"]["reason"] == "Forbidden"
    assert event["annotations"]["authorization.k8s.io/decision"] == "forbid"
    api.request("GET", "/api/v1/nodes", token="wrong", headers={"Audit-ID": "unknown"})
    event = events(api, "unknown")[0]
    assert (event["stage"], event["user"], event["responseStatus"]["code"]) == ("ResponseStarted", {}, 401)


def test_watches_begin_and_end(api: RunningServer) -> None:
    api.request("GET", "/api/v1/secrets?watch=true&timeoutSeconds=1", headers={"Audit-ID": "watch"})
    assert [event["stage"] for event in events(api, "watch", 2)] == ["ResponseStarted", "ResponseComplete"]


def test_impersonation_shows_both(api: RunningServer) -> None:
    headers = {"Audit-ID": "as", "Impersonate-User": "ann"}
    api.request("GET", "/version", headers=headers)
    event = events(api, "as")[0]
    assert event["user"]["username"] == "kubernetes-admin"
    assert event["impersonatedUser"] == {"username": "ann", "groups": ["system:authenticated"]}


def test_what_the_policy_leaves_out(api: RunningServer) -> None:
    api.request("GET", "/livez", headers={"Audit-ID": "health"})
    api.request("GET", "/version", headers={"Audit-ID": "after"})
    events(api, "after")
    events(api, "health", 0)


@pytest.mark.parametrize(
    ("user", "info", "level"),
    [
        ("quiet", RequestInfo(verb="get", path="/x"), "None"),
        ("a", RequestInfo(verb="get", path="/healthz/etcd"), "None"),
        ("a", RequestInfo(verb="get", path="", is_resource=True, resource="secrets"), "Metadata"),
        ("a", RequestInfo(verb="create", path="", is_resource=True, resource="pods", subresource="exec"), "Request"),
        ("a", RequestInfo(verb="create", path="", is_resource=True, resource="pods"), "Request"),
        ("a", RequestInfo(verb="get", path="", is_resource=True, resource="pods", subresource="log"), "Metadata"),
        ("a", RequestInfo(verb="get", path="", is_resource=True, group="apps", resource="secrets"), "Metadata"),
    ],
)
def test_rules_match_in_order(tmp_path: Path, user: str, info: RequestInfo, level: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(POLICY)
    assert LEVELS[load(path).choose(User(user), info).level] == level


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (("level: Request,", "level: All,"), 'rules[4].level: Unsupported value: "All"'),
        (("[RequestReceived]", "[Received]"), 'omitStages[0]: Invalid value: "Received": allowed stages are'),
        (('"/livez"', '"livez"'), "non-resource URL rules must begin with a '/' character"),
        (("users: [quiet]", "who: [quiet]"), "unknown field `who`"),
    ],
)
def test_bad_policies(tmp_path: Path, change: tuple[str, str], error: str) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(POLICY.replace(*change))
    with pytest.raises(ConfigError) as refused:
        load(path)
    assert error in str(refused.value)


def test_the_log_is_rotated(tmp_path: Path) -> None:
    async def write() -> LogBackend:
        settings = AuditSettings(log_max_bytes=1000, log_max_backups=2, log_compress=True)
        clock = FakeClock(datetime(2026, 1, 2, tzinfo=UTC))
        backend = LogBackend(settings, tmp_path / "audit.log", clock)
        for number in range(50):
            backend.add(b'{"n":%d,"pad":"%b"}' % (number, b"x" * 100))
        backend.flush()
        for _ in range(20_000):
            backend.add(b"{}")
        return backend

    backend = asyncio.run(write())
    assert (tmp_path / "audit.log").stat().st_size <= 1000
    assert json.loads((tmp_path / "audit.log").read_text().splitlines()[-1])["n"] == 49
    backups = sorted(path.name for path in tmp_path.glob("audit-*.log.gz"))
    assert len(backups) == 2
    assert backups[0].startswith("audit-2026-01-02T00-00-00.000")
    assert backend.dropped == 10_000


def test_without_a_policy_nothing_is_recorded(tmp_path: Path) -> None:
    log = tmp_path / "audit.log"
    server = RunningServer(tmp_path, security=SecuritySettings(audit=AuditSettings(log_path=log)))
    server.start()
    try:
        assert server.request("GET", "/api/v1/namespaces").status == 200
    finally:
        server.stop()
    assert not log.exists()
