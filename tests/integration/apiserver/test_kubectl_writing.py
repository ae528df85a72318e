"""What `tiphys kubectl` makes and applies, against a real server."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from api_harness import RunningServer
from kubectl_runner import Kubectl

NAMESPACE = "/api/v1/namespaces/default"


@pytest.fixture
def kubectl(api: RunningServer, capsys: pytest.CaptureFixture[str]) -> Kubectl:
    return Kubectl(api, capsys)


def config_map(name: str, **data: str) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})


def test_create_from_words(kubectl: Kubectl, api: RunningServer) -> None:
    assert kubectl("create", "quota", "few", "--hard=pods=5,services=2", "--scopes=BestEffort", code=1).startswith(
        'The ResourceQuota "few" is invalid'
    )
    assert kubectl("create", "quota", "few", "--hard=pods=5,services=2") == "resourcequota/few created\n"
    assert api.request("GET", f"{NAMESPACE}/resourcequotas/few").json["spec"]["hard"] == {"pods": "5", "services": "2"}
    api.request("DELETE", f"{NAMESPACE}/resourcequotas/few")
    assert kubectl("create", "job", "once", "--image=i:1", "--", "date") == "job.batch/once created\n"
    assert (
        kubectl("create", "cronjob", "often", "--image=i:1", "--schedule=* * * * *") == "cronjob.batch/often created\n"
    )
    assert kubectl("create", "job", "again", "--from=cronjob/often") == "job.batch/again created\n"
    again = api.request("GET", "/apis/batch/v1/namespaces/default/jobs/again").json["metadata"]
    assert again["annotations"] == {"cronjob.kubernetes.io/instantiate": "manual"}
    assert again["ownerReferences"][0]["name"] == "often"
    kubectl("create", "service", "clusterip", "gate", "--tcp=80:http")
    ports = api.request("GET", f"{NAMESPACE}/services/gate").json["spec"]["ports"]
    assert (ports[0]["port"], ports[0]["targetPort"]) == (80, "http")
    kubectl("create", "ingress", "way", "--rule=a.example/x*=gate:80,tls=t", "--class=nginx")
    spec = api.request("GET", "/apis/networking.k8s.io/v1/namespaces/default/ingresses/way").json["spec"]
    assert spec["rules"][0]["http"]["paths"][0]["pathType"] == "Prefix"
    assert spec["tls"] == [{"hosts": ["a.example"], "secretName": "t"}]
    kubectl("create", "pdb", "keep", "--selector=app=a", "--min-available=50%")
    kubectl("create", "priorityclass", "high", "--value=1000")
    kubectl("create", "secret", "docker-registry", "pull", "--docker-username=u", "--docker-password=p")
    assert api.request("GET", f"{NAMESPACE}/secrets/pull").json["type"] == "kubernetes.io/dockerconfigjson"
    kubectl("create", "clusterrole", "look", "--verb=get", "--non-resource-url=/x")
    assert kubectl("create", "nonsense", code=1).startswith("error: cannot create 'nonsense' from words")


def test_templates_subresources_and_prompts(kubectl: Kubectl, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    kubectl("create", "configmap", "shown", "--from-literal=a=b")
    assert kubectl("get", "cm", "shown", "-o", "go-template={{.data.a}}") == "b"
    assert kubectl("get", "cm", "shown", "--template={{.data}}") == "map[a:b]"
    assert kubectl("get", "cm", "shown", "-o", "jsonpath-as-json={.data.a}") == '[\n    "b"\n]\n'
    (tmp_path / "t").write_text("{{.kind}}")
    assert kubectl("get", "cm", "shown", "-o", f"go-template-file={tmp_path}/t") == "ConfigMap"
    assert kubectl("get", "cm", "shown", "-o", "go-template={{.a", code=1).endswith(": unclosed action\n")
    refused = kubectl("get", "nodes", "--subresource=status", code=1)
    assert refused == "error: subresource cannot be used when bulk resources are specified\n"
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    asked = kubectl("delete", "-i", "cm", "shown")
    assert asked == (
        "You are about to delete the following 1 resource(s):\nconfigmap/shown\n"
        "Do you want to continue? (y/N): deletion is cancelled\n"
    )
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert 'configmap "shown" deleted from default namespace' in kubectl("delete", "-i", "cm", "shown")


def test_what_was_applied_last(kubectl: Kubectl, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    file.write_text(config_map("kept", a="1"))
    assert kubectl("apply", "-f", str(file)) == "configmap/kept created\n"
    assert kubectl("apply", "-f", str(file)) == "configmap/kept unchanged\n"
    assert '"a": "1"' in kubectl("apply", "view-last-applied", "cm/kept", "-o", "json")
    file.write_text(config_map("kept", b="2"))
    assert kubectl("apply", "set-last-applied", "-f", str(file)) == "configmap/kept configured\n"
    assert "a: " not in kubectl("apply", "view-last-applied", "cm/kept")
    kubectl("create", "configmap", "other")
    assert "no last-applied-configuration annotation" in kubectl("apply", "view-last-applied", "cm/other", code=1)


def test_a_set_loses_what_the_manifests_leave_out(kubectl: Kubectl, api: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "m.json"
    first, second = config_map("first"), config_map("second")
    file.write_text(f"{first}\n---\n{second}")
    kubectl("apply", "-f", str(file), "--prune", "--applyset=whole")
    file.write_text(first)
    assert kubectl("apply", "-f", str(file), "--prune", "--applyset=whole").endswith("configmap/second pruned\n")
    assert api.request("GET", f"{NAMESPACE}/configmaps/second").status == 404
    assert kubectl("apply", "-f", str(file), "--prune", "--applyset=whole") == "configmap/first unchanged\n"
    parent = api.request("GET", f"{NAMESPACE}/secrets/whole").json["metadata"]
    assert parent["annotations"]["applyset.kubernetes.io/contains-group-kinds"] == "ConfigMap"
    kubectl("create", "secret", "generic", "foreign")
    refused = kubectl("apply", "-f", str(file), "--prune", "--applyset=foreign", code=1)
    assert "is missing required annotation" in refused


def test_preferences_give_flags_and_aliases(kubectl: Kubectl, tmp_path: Path) -> None:
    file = f"--kuberc={tmp_path}/kuberc"
    kubectl("create", "configmap", "liked", "--from-literal=a=b")
    kubectl("kuberc", "set", file, "--section=defaults", "--command=get", "--option=output=name")
    assert kubectl("get", file, "cm", "liked") == "configmap/liked\n"
    assert "a: b" in kubectl("get", file, "cm", "liked", "-oyaml")
    refused = kubectl("kuberc", "set", file, "--section=defaults", "--command=get", "--option=output=json", code=1)
    assert "--overwrite" in refused
    alias = ["--section=aliases", "--name=getc", "--command=get", "--prependarg", "cm", "--appendarg", "liked"]
    kubectl("kuberc", "set", file, *alias, "--option=output=jsonpath={.data.a}")
    assert kubectl("getc", file) == "b"
    assert "aliases:" in kubectl("kuberc", "view", file)
    assert "--name is required" in kubectl("kuberc", "set", file, "--section=aliases", "--command=get", code=1)
    assert kubectl("kuberc", "set", file, "--section=else", "--command=get", code=1).startswith("error: --section")
    assert kubectl("nosuch", code=1).startswith('error: unknown command "nosuch" for "kubectl"')


def test_groups_to_act_as(kubectl: Kubectl) -> None:
    asked = ("auth", "can-i", "create", "pods", "--as=bob")
    assert kubectl(*asked, code=1) == "no\n"
    assert kubectl(*asked, "--as-group=a", "--as-group=system:masters") == "yes\n"


def test_dump(kubectl: Kubectl, tmp_path: Path) -> None:
    assert kubectl("cluster-info", "dump", f"--output-directory={tmp_path}").startswith("Cluster info dumped to")
    assert json.loads((tmp_path / "default" / "pods.json").read_text())["kind"] == "PodList"
