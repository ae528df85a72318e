"""`tiphys kubectl` against a real server: words as those of upstream's kubectl, and what they did."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from api_harness import RunningServer
from kubectl_runner import Kubectl

from tiphys.kubectl.cp import unpack
from tiphys.kubectl.drain import sorted_out

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
NODES = "/api/v1/nodes"


@pytest.fixture
def kubectl(api: RunningServer, capsys: pytest.CaptureFixture[str]) -> Kubectl:
    api.request("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    api.request("POST", NODES, {"metadata": {"name": "drained-1"}})
    api.request("DELETE", f"{DEPLOYMENTS}/web", {"propagationPolicy": "Background"})
    labels = {"app": "web"}
    container = {"name": "c", "image": "i:1", "ports": [{"containerPort": 8080}]}
    api.request("POST", DEPLOYMENTS, {"metadata": {"name": "web", "labels": labels}, "spec": {
        "selector": {"matchLabels": labels},
        "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}}}})  # fmt: skip
    return Kubectl(api, capsys)


def template(api: RunningServer) -> Any:
    return api.request("GET", f"{DEPLOYMENTS}/web").json["spec"]["template"]["spec"]


def test_set(kubectl: Kubectl, api: RunningServer) -> None:
    assert kubectl("set", "image", "deploy/web", "c=i:2") == "deployment.apps/web image updated\n"
    assert kubectl("set", "image", "deploy/web", "*=i:2") == ""
    assert kubectl("set", "image", "deploy/web", "d=x", code=1) == 'error: unable to find container named "d"\n'
    assert kubectl("set", "env", "deploy/web", "A=b", "C=d") == "deployment.apps/web env updated\n"
    kubectl("set", "env", "deploy/web", "C-")
    assert kubectl("set", "env", "deploy/web", "--list") == "# Deployment web, container c\nA=b\n"
    assert "resource requirements updated" in kubectl("set", "resources", "deploy/web", "--limits=cpu=1,memory=1Gi")
    assert "serviceaccount updated" in kubectl("set", "serviceaccount", "deploy", "web", "robot")
    spec = template(api)
    container = spec["containers"][0]
    assert (container["image"], container["env"]) == ("i:2", [{"name": "A", "value": "b"}])
    assert container["resources"] == {"limits": {"cpu": "1", "memory": "1Gi"}}
    assert spec["serviceAccountName"] == "robot"


def test_expose_and_autoscale(kubectl: Kubectl, api: RunningServer) -> None:
    assert kubectl("expose", "deploy", "web", "--name=front", "--port=80", "--target-port=http") == (
        "service/front exposed\n"
    )
    spec = api.request("GET", "/api/v1/namespaces/default/services/front").json["spec"]
    assert (spec["selector"], spec["ports"][0]["targetPort"]) == ({"app": "web"}, "http")
    kubectl("expose", "deploy", "web", "--name=same")
    assert api.request("GET", "/api/v1/namespaces/default/services/same").json["spec"]["ports"][0]["port"] == 8080
    assert kubectl("expose", "cm", "a", code=1) == "error: cannot expose a ConfigMap\n"
    done = "horizontalpodautoscaler.autoscaling/web autoscaled\n"
    assert kubectl("autoscale", "deploy", "web", "--max=3", "--cpu=80%") == done
    assert kubectl("autoscale", "deploy", "web", code=1) == 'error: required flag(s) "max" not set\n'


def test_taint_and_cordon(kubectl: Kubectl, api: RunningServer) -> None:
    assert kubectl("taint", "node", "drained-1", "a=b:NoSchedule") == "node/drained-1 tainted\n"
    refused = kubectl("taint", "node", "drained-1", "a=c:NoSchedule", code=1)
    assert refused == "error: node drained-1 already has a taint(s) with same effect(s) and --overwrite is false\n"
    assert kubectl("taint", "node", "drained-1", "a=c:NoSchedule", "--overwrite") == "node/drained-1 tainted\n"
    taints = api.request("GET", f"{NODES}/drained-1").json["spec"]["taints"]
    assert {"key": "a", "value": "c", "effect": "NoSchedule"} in taints
    assert kubectl("taint", "node", "drained-1", "a-") == "node/drained-1 untainted\n"
    assert kubectl("taint", "node", "drained-1", "a-", code=1) == 'error: taint "a" not found\n'
    assert kubectl("cordon", "drained-1") == "node/drained-1 cordoned\n"
    assert kubectl("cordon", "drained-1") == "node/drained-1 already cordoned\n"
    assert kubectl("drain", "drained-1") == "node/drained-1 already cordoned\nnode/drained-1 drained\n"
    assert kubectl("uncordon", "drained-1") == "node/drained-1 uncordoned\n"


def test_auth_and_what_the_server_is(kubectl: Kubectl) -> None:
    assert kubectl("auth", "can-i", "create", "pods") == "yes\n"
    assert kubectl("auth", "can-i", "create", "pods", "--as=bob", code=1) == "no\n"
    assert kubectl("auth", "whoami").splitlines()[0].split() == ["ATTRIBUTE", "VALUE"]
    assert "selfsubjectreviews.authentication.k8s.io" in kubectl("auth", "can-i", "--list", "--as=bob")
    assert "apps/v1\n" in kubectl("api-versions")
    assert kubectl("cluster-info").startswith("Kubernetes control plane is running at https://")
    assert kubectl("top", "pods", code=1) == "error: Metrics API not available\n"
    assert kubectl("events") == "No events found in default namespace.\n"


def test_explain(kubectl: Kubectl) -> None:
    lines = kubectl("explain", "deploy.spec.strategy").splitlines()
    assert lines[:5] == ["GROUP:      apps", "KIND:       Deployment", "VERSION:    v1", "",
                         "FIELD: strategy <DeploymentStrategy>"]  # fmt: skip
    assert "  type\t<string>" in lines
    assert "      image\t<string>" in kubectl("explain", "deploy.spec.template", "--recursive").splitlines()
    assert "  rule\t<string> -required-" in kubectl("explain", "crd.spec.versions.schema", "--recursive").replace(
        "      rule", "  rule"
    )
    assert 'field "nope" does not exist' in kubectl("explain", "pod.nope", code=1)


def test_replace_and_diff(kubectl: Kubectl, tmp_path: Path) -> None:
    manifest = tmp_path / "a.yaml"
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: replaced}\ndata: {k: %s}\n"
    manifest.write_text(text % "one")
    missing = kubectl("replace", "-f", str(manifest), code=1)
    assert 'configmaps "replaced" not found' in missing
    kubectl("create", "-f", str(manifest))
    kubectl("diff", "-f", str(manifest))
    manifest.write_text(text % "two")
    kubectl("diff", "-f", str(manifest), code=1)
    assert kubectl("replace", "-f", str(manifest)) == "configmap/replaced replaced\n"
    assert 'configmap "replaced" deleted' in kubectl("replace", "--force", "-f", str(manifest))


def test_certificates(kubectl: Kubectl, api: RunningServer) -> None:
    from kind_bodies import body_of

    from tiphys.api.kinds import CERTIFICATESIGNINGREQUEST

    body = body_of(CERTIFICATESIGNINGREQUEST)
    body["metadata"]["name"] = "asked"
    api.request("POST", CERTIFICATESIGNINGREQUEST.path(), body)
    assert kubectl("certificate", "approve", "asked") == (
        "certificatesigningrequest.certificates.k8s.io/asked approved\n"
    )
    (condition,) = api.request("GET", CERTIFICATESIGNINGREQUEST.path("", "asked")).json["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == ("Approved", "KubectlApprove")
    assert "already Approved" in kubectl("certificate", "deny", "asked", code=1)


def pod(name: str, *, owner: str = "", volume: str = "", phase: str = "Running") -> dict[str, Any]:
    owners = [{"kind": owner, "name": "o", "controller": True}] if owner else []
    return {
        "metadata": {"name": name, "namespace": "d", "ownerReferences": owners},
        "spec": {"volumes": [{"name": "v", volume: {}}] if volume else []},
        "status": {"phase": phase},
    }


def test_which_pods_a_drain_takes() -> None:
    pods = [pod("bare"), pod("set", owner="ReplicaSet"), pod("daemon", owner="DaemonSet"), pod("over", phase="Failed"),
            pod("data", owner="ReplicaSet", volume="emptyDir")]  # fmt: skip

    def sort(**allowed: bool) -> tuple[list[str], list[str], list[str]]:
        flags = {"force": False, "daemons": False, "local": False, **allowed}
        leaving, warnings, refusals = sorted_out(pods, exists=lambda *_: True, **flags)
        return [each["metadata"]["name"] for each in leaving], warnings, refusals

    assert sort() == (["set", "over"], [], [
        "cannot delete Pods that declare no controller (use --force to override): d/bare",
        "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore): d/daemon",
        "cannot delete Pods with local storage (use --delete-emptydir-data to override): d/data",
    ])  # fmt: skip
    assert sort(force=True, daemons=True, local=True) == (["bare", "set", "over", "data"], [
        "ignoring DaemonSet-managed Pods: d/daemon", "deleting Pods that declare no controller: d/bare",
    ], [])  # fmt: skip


def test_copies_stay_where_they_belong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        for name in ("var/log/a", "var/log/b/c", "../evil", "etc/passwd"):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(name), 0o644
            tar.addfile(member, io.BytesIO(name.encode()))
        link = tarfile.TarInfo("var/log/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    archive.seek(0)
    unpack(archive, PurePosixPath("/var/log"), tmp_path / "logs")
    found = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert found == ["logs/a", "logs/b/c"]
    assert "skipping" in capsys.readouterr().err
