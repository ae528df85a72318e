"""Who asks and what they may: certificates, tokens, impersonation, RBAC, the Node authorizer."""

from __future__ import annotations

import base64
import json
from typing import Any

from api_harness import RunningServer

RBAC = "/apis/rbac.authorization.k8s.io/v1"


def bind(api: RunningServer, namespace: str, user: str, role: str) -> None:
    body = {
        "metadata": {"name": f"{user}-{role}"},
        "subjects": [{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": user}],
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
    }
    assert api.request("POST", f"{RBAC}/namespaces/{namespace}/rolebindings", body).status == 201


def as_user(name: str, *groups: str) -> dict[str, str]:
    headers = {"Impersonate-User": name}
    if groups:
        headers["Impersonate-Group"] = groups[0]
    return headers


def test_anonymous_sees_health_and_nothing_else(api: RunningServer) -> None:
    assert api.request("GET", "/readyz", token=None).body == b"ok"
    assert api.request("GET", "/version", token=None).json["major"] == "1"
    refused = api.request("GET", "/api/v1/pods", token=None)
    assert refused.status == 403
    assert refused.json["message"] == (
        'pods is forbidden: User "system:anonymous" cannot list resource "pods" in API group "" at the cluster scope'
    )
    path = api.request("GET", "/metrics", token=None)
    assert path.json["message"] == 'forbidden: User "system:anonymous" cannot get path "/metrics"'


def test_bad_token(api: RunningServer) -> None:
    answer = api.request("GET", "/api", token="nonsense")
    assert (answer.status, answer.json["message"], answer.json["reason"]) == (401, "Unauthorized", "Unauthorized")


def test_client_certificate(api: RunningServer) -> None:
    tls = api.tls("alice", ("system:masters",))
    review = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
    answer = api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", review, token=None, tls=tls)
    info = answer.json["status"]["userInfo"]
    assert (info["username"], info["groups"]) == ("alice", ["system:masters", "system:authenticated"])
    assert info["extra"]["authentication.kubernetes.io/credential-id"][0].startswith("X509SHA256=")


def test_view_reads_but_does_not_write(api: RunningServer, namespace: str) -> None:
    bind(api, namespace, "vera", "view")
    maps = f"/api/v1/namespaces/{namespace}/configmaps"
    assert api.request("GET", maps, headers=as_user("vera")).status == 200
    refused = api.request("POST", maps, {"metadata": {"name": "a"}}, headers=as_user("vera"))
    assert refused.json["message"] == (
        'configmaps is forbidden: User "vera" cannot create resource "configmaps" in API group "" '
        f'in the namespace "{namespace}"'
    )
    assert api.request("GET", f"/api/v1/namespaces/{namespace}/secrets", headers=as_user("vera")).status == 403
    assert api.request("GET", "/api/v1/namespaces/default/configmaps", headers=as_user("vera")).status == 403


def test_nobody_grants_what_they_lack(api: RunningServer, namespace: str) -> None:
    bind(api, namespace, "adam", "admin")
    role = {"metadata": {"name": "r"}, "rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["nodes"]}]}
    refused = api.request("POST", f"{RBAC}/namespaces/{namespace}/roles", role, headers=as_user("adam"))
    assert refused.status == 403
    assert "is attempting to grant RBAC permissions not currently held:\n" in refused.json["message"]
    assert '{APIGroups:[""], Resources:["nodes"], Verbs:["get"]}' in refused.json["message"]
    role["rules"] = [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]
    assert api.request("POST", f"{RBAC}/namespaces/{namespace}/roles", role, headers=as_user("adam")).status == 201


def token_for(api: RunningServer, namespace: str, spec: dict[str, Any] | None = None) -> Any:
    body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": spec or {}}
    return api.request("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts/default/token", body)


def claims(token: str) -> Any:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def test_service_account_token(api: RunningServer, namespace: str) -> None:
    answer = token_for(api, namespace, {"expirationSeconds": 1200})
    assert answer.status == 201
    token = answer.json["status"]["token"]
    found = claims(token)
    assert found["sub"] == f"system:serviceaccount:{namespace}:default"
    assert found["exp"] - found["iat"] == 1200
    who = api.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {}, token=token).json["status"][
        "userInfo"
    ]
    assert who["username"] == f"system:serviceaccount:{namespace}:default"
    assert f"system:serviceaccounts:{namespace}" in who["groups"]
    api.request("DELETE", f"/api/v1/namespaces/{namespace}/serviceaccounts/default")
    review = {"kind": "TokenReview", "apiVersion": "authentication.k8s.io/v1", "spec": {"token": token}}
    status = api.request("POST", "/apis/authentication.k8s.io/v1/tokenreviews", review).json["status"]
    assert not status.get("authenticated")
    assert "not found" in status["error"]


def test_short_and_foreign_tokens(api: RunningServer, namespace: str) -> None:
    refused = token_for(api, namespace, {"expirationSeconds": 5})
    assert refused.status == 422
    assert "may not specify a duration less than 10 minutes" in refused.json["message"]
    token = token_for(api, namespace, {"audiences": ["vault"]}).json["status"]["token"]
    assert api.request("GET", "/api", token=token).status == 401


def test_access_reviews(api: RunningServer, namespace: str) -> None:
    bind(api, namespace, "olga", "view")
    spec = {"user": "olga", "resourceAttributes": {"namespace": namespace, "verb": "list", "resource": "pods"}}
    review = {"kind": "SubjectAccessReview", "apiVersion": "authorization.k8s.io/v1", "spec": spec}
    status = api.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", review).json["status"]
    assert status["allowed"] is True
    assert status["reason"] == (
        f'RBAC: allowed by RoleBinding "olga-view/{namespace}" of ClusterRole "view" to User "olga"'
    )


def test_a_node_reads_only_its_own(api: RunningServer, namespace: str) -> None:
    tls = api.tls("system:node:n1", ("system:nodes",))

    def ask(path: str) -> Any:
        return api.request("GET", path, token=None, tls=tls)

    secrets = f"/api/v1/namespaces/{namespace}/secrets"
    for name in ("used", "other"):
        api.request("POST", secrets, {"metadata": {"name": name}})
    pod = {
        "metadata": {"name": "p"},
        "spec": {
            "nodeName": "n1",
            "containers": [{"name": "c", "image": "i"}],
            "volumes": [{"name": "v", "secret": {"secretName": "used"}}],
        },
    }
    assert api.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod).status == 201
    assert ask(f"{secrets}/used").status == 200
    refused = ask(f"{secrets}/other")
    assert refused.status == 403
    assert refused.json["message"].endswith(": no relationship found between node 'n1' and this object")
    assert ask("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1").status == 200
    assert ask("/api/v1/pods").status == 403
    assert ask("/apis/discovery.k8s.io/v1/endpointslices").status == 403


def test_network_agents_see_pods_and_services_and_no_secrets(api: RunningServer, namespace: str) -> None:
    tls = api.tls("tiphys:network:n1", ("tiphys:network-agents",))

    def ask(path: str) -> int:
        return api.request("GET", path, token=None, tls=tls).status

    for path in (
        "/api/v1/pods", "/api/v1/services", "/api/v1/nodes", "/api/v1/namespaces",
        "/apis/discovery.k8s.io/v1/endpointslices", "/apis/networking.k8s.io/v1/networkpolicies",
    ):  # fmt: skip
        assert ask(path) == 200
    assert ask("/api/v1/secrets") == 403
    assert ask(f"/api/v1/namespaces/{namespace}/configmaps") == 403
    assert api.request("DELETE", "/api/v1/nodes/n1", token=None, tls=tls).status == 403


def test_pods_get_account_token_volume_and_tolerations(api: RunningServer, namespace: str) -> None:
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    spec = api.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod).json["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert volume["projected"]["sources"][0]["serviceAccountToken"] == {"path": "token", "expirationSeconds": 3607}
    mount = spec["containers"][0]["volumeMounts"][0]
    assert mount["mountPath"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert [t["key"] for t in spec["tolerations"]] == [
        "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable",
    ]  # fmt: skip
    assert (spec["priority"], spec["preemptionPolicy"]) == (0, "PreemptLowerPriority")
