"""Every way to say who one is, and what does not count."""

from __future__ import annotations

import base64
import ssl
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from api_harness import ADMIN_TOKEN, RunningServer
from cryptography.hazmat.primitives.asymmetric import rsa
from remote_services import Issuer, Service

from tiphys.apiserver import reloading
from tiphys.apiserver.security import AuthenticationSettings, SecuritySettings
from tiphys.base import pki
from tiphys.base.clock import rfc3339

SELF = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
CONFIG = """
apiVersion: apiserver.config.k8s.io/v1
kind: AuthenticationConfiguration
jwt:
- issuer:
    url: {url}
    audiences: [tiphys, other]
    audienceMatchPolicy: MatchAny
    certificateAuthority: |
{ca}
  claimValidationRules:
  - {{claim: tenant, requiredValue: ours}}
  - {{expression: "claims.exp - claims.iat <= 86400", message: lives too long}}
  claimMappings:
    username: {{expression: "'oidc:' + claims.sub"}}
    groups: {{claim: groups, prefix: "g:"}}
    uid: {{claim: sub}}
    extra:
    - {{key: example.com/team, valueExpression: "claims.team"}}
  userValidationRules:
  - {{expression: "!user.username.startsWith('oidc:system:')", message: no system users}}
anonymous:
  enabled: true
  conditions: [{{path: /livez}}, {{path: /readyz}}]
"""


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Issuer]:
    made = Issuer(tmp_path_factory.mktemp("issuer"))
    yield made
    made.service.stop()


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    def answer(_path: str, body: Any) -> tuple[int, Any]:
        token = body["spec"]["token"]
        if token == "broken":
            return 500, {}
        good = token == "remote-token"
        user = {"username": "remote", "uid": "7", "groups": ["r"], "extra": {"k": ["v"]}}
        return 200, {**body, "status": {"authenticated": good, **({"user": user} if good else {"error": "no idea"})}}

    made = Service(tmp_path_factory.mktemp("tokens"), answer)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory, issuer: Issuer, tokens: Service) -> Iterator[RunningServer]:
    directory = tmp_path_factory.mktemp("authentication")
    config = directory / "authentication.yaml"
    ca = "".join(f"      {line}\n" for line in issuer.service.ca.read_text().splitlines())
    config.write_text(CONFIG.format(url=issuer.url, ca=ca))
    authentication = AuthenticationSettings(config_file=config, webhook_config_file=tokens.kubeconfig)
    running = RunningServer(directory, security=SecuritySettings(authentication=authentication))
    running.start()
    yield running
    running.stop()


def who(api: RunningServer, token: str | None, **how: Any) -> Any:
    """The user that the server sees, or the status of its refusal."""
    answer = api.request("POST", SELF, {}, token=token, **how)
    return answer.json["status"]["userInfo"] if answer.status == 201 else answer.status


def front_proxy(api: RunningServer, name: str = "front-proxy-client") -> ssl.SSLContext:
    paths = api.settings.pki
    ca = pki.load(pki.PairPaths(paths.front_proxy_ca_cert, paths.front_proxy_ca_key))
    own = pki.PairPaths(api.directory / f"{name}.crt", api.directory / f"{name}.key")
    pki.save(own, pki.new_client(ca, name, ("system:masters",), now=datetime.now(UTC)))
    context = ssl.create_default_context(cafile=str(api.ca))
    context.load_cert_chain(own.certificate, own.key)
    return context


def test_a_front_proxy_names_users(api: RunningServer) -> None:
    headers = {"X-Remote-User": "ann", "X-Remote-Group": "devs", "X-Remote-Uid": "9",
               "X-Remote-Extra-Acme.com%2fproject": "p1"}  # fmt: skip
    user = who(api, None, tls=front_proxy(api), headers=headers)
    assert user == {
        "username": "ann", "uid": "9", "groups": ["devs", "system:authenticated"],
        "extra": {"acme.com/project": ["p1"]},
    }  # fmt: skip
    assert who(api, None, tls=front_proxy(api)) == 401  # nobody is named, and its own name is none of a user
    assert who(api, None, tls=front_proxy(api, "someone-else"), headers=headers) == 401


def test_nobody_else_names_users(api: RunningServer) -> None:
    headers = {"X-Remote-User": "kubernetes-admin", "X-Remote-Group": "system:masters"}
    assert who(api, None, headers=headers) == 401
    assert who(api, None, tls=api.tls("bob"), headers=headers)["username"] == "bob"


def bootstrap_token(api: RunningServer, token_id: str, **data: str) -> str:
    secret = "0123456789abcdef"
    stated = {"token-id": token_id, "token-secret": secret, "usage-bootstrap-authentication": "true", **data}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in stated.items()}
    made = api.request("POST", "/api/v1/namespaces/kube-system/secrets", {
        "metadata": {"name": f"bootstrap-token-{token_id}"}, "type": "bootstrap.kubernetes.io/token", "data": encoded,
    })  # fmt: skip
    assert made.status == 201, made.body
    return f"{token_id}.{secret}"


def test_bootstrap_tokens(api: RunningServer) -> None:
    good = bootstrap_token(api, "aaaaaa", **{"auth-extra-groups": "system:bootstrappers:workers"})
    assert who(api, good) == {
        "username": "system:bootstrap:aaaaaa",
        "groups": ["system:bootstrappers", "system:bootstrappers:workers", "system:authenticated"],
    }
    past = rfc3339(datetime.now(UTC) - timedelta(minutes=1))
    assert who(api, bootstrap_token(api, "bbbbbb", expiration=past)) == 401
    assert who(api, bootstrap_token(api, "cccccc", **{"usage-bootstrap-authentication": "false"})) == 401
    assert who(api, bootstrap_token(api, "dddddd", **{"auth-extra-groups": "system:masters"})) == 401
    assert who(api, "aaaaaa.0123456789abcdeX") == 401
    assert who(api, "eeeeee.0123456789abcdef") == 401


def test_identity_tokens(api: RunningServer, issuer: Issuer) -> None:
    user = who(api, issuer.token(tenant="ours", groups=["a", "b"], team="blue", jti="t1"))
    assert user["username"] == "oidc:jane"
    assert user["uid"] == "jane"
    assert user["groups"] == ["g:a", "g:b", "system:authenticated"]
    assert user["extra"]["example.com/team"] == ["blue"]
    assert user["extra"]["authentication.kubernetes.io/credential-id"] == ["JTI=t1"]


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"exp": 1}, "oidc: verify token: oidc: token is expired"),
        ({"aud": "elsewhere"}, "oidc: verify token: oidc: expected audience in"),
        ({"tenant": "theirs"}, "required claim tenant value does not match. Got = theirs, want = ours"),
        ({"tenant": None}, "oidc: parse claim tenant"),
        ({"sub": "system:admin"}, "no system users"),
        ({"iat": 1}, "lives too long"),
        ({"groups": [1]}, 'oidc: parse groups claim "groups"'),
    ],
)
def test_identity_tokens_that_are_no_good(
    api: RunningServer, issuer: Issuer, claims: dict[str, Any], error: str
) -> None:
    token = issuer.token(**{"tenant": "ours", "team": "blue", **claims})
    assert who(api, token) == 401
    status = api.request("POST", REVIEWS, {"spec": {"token": token}}).json["status"]
    assert not status.get("authenticated")
    assert error in status["error"]


def test_a_forged_token_and_one_of_nobody(api: RunningServer, issuer: Issuer) -> None:
    forged = issuer.token(rsa.generate_private_key(public_exponent=65537, key_size=2048), tenant="ours", team="x")
    assert who(api, forged) == 401
    assert who(api, issuer.token(tenant="ours", team="x", iss="https://elsewhere.example")) == 401


def test_the_issuers_keys_may_change(api: RunningServer, issuer: Issuer, monkeypatch: pytest.MonkeyPatch) -> None:
    from tiphys.apiserver.chain.oidc import keys

    monkeypatch.setattr(keys, "_REFETCH_S", 0.0)
    issuer.rotate()
    assert who(api, issuer.token(tenant="ours", team="x"))["username"] == "oidc:jane"


def test_a_token_webhook_is_asked_once(api: RunningServer, tokens: Service) -> None:
    user = who(api, "remote-token")
    assert (user["username"], user["uid"], user["extra"]) == ("remote", "7", {"k": ["v"]})
    before = len(tokens.asked)
    status = api.request("POST", REVIEWS, {"spec": {"token": "remote-token"}}).json["status"]
    assert status["user"]["username"] == "remote"
    assert len(tokens.asked) == before
    assert tokens.asked[-1]["apiVersion"] == "authentication.k8s.io/v1"
    refused = api.request("POST", REVIEWS, {"spec": {"token": "unknown"}}).json["status"]
    assert refused["error"] == "[invalid bearer token, no idea]"


def test_anonymous_only_where_the_file_says(api: RunningServer) -> None:
    assert api.request("GET", "/livez", token=None).status == 200
    assert api.request("GET", "/version", token=None).status == 401
    assert api.request("GET", "/livez", token="bad").status == 401


def test_a_token_of_another_cluster(api: RunningServer, tmp_path: Path) -> None:
    other = RunningServer(tmp_path)
    other.start()
    try:
        account = "/api/v1/namespaces/default/serviceaccounts"
        other.request("POST", account, {"metadata": {"name": "robot"}})
        request = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "spec": {}}
        token = other.request("POST", f"{account}/robot/token", request).json["status"]["token"]
        assert other.request("POST", SELF, {}, token=token).status == 201
    finally:
        other.stop()
    assert who(api, token) == 401


def test_impersonation_is_asked_for_part_by_part(api: RunningServer) -> None:
    headers = {"Impersonate-User": "eve", "Impersonate-Group": "x", "Impersonate-Uid": "5",
               "Impersonate-Extra-Scopes": "view"}  # fmt: skip
    user = who(api, ADMIN_TOKEN, headers=headers)
    assert user == {
        "username": "eve",
        "uid": "5",
        "groups": ["x", "system:authenticated"],
        "extra": {"scopes": ["view"]},
    }
    group = "rbac.authorization.k8s.io"
    rules = [{"apiGroups": [""], "resources": ["users"], "verbs": ["impersonate"], "resourceNames": ["eve"]}]
    api.request("POST", f"/apis/{group}/v1/clusterroles", {"metadata": {"name": "imp"}, "rules": rules})
    api.request("POST", f"/apis/{group}/v1/clusterrolebindings", {
        "metadata": {"name": "imp"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "imp"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "bob"}],
    })  # fmt: skip
    tls = api.tls("bob")
    assert who(api, None, tls=tls, headers={"Impersonate-User": "eve"})["username"] == "eve"
    for more in ({"Impersonate-Group": "x"}, {"Impersonate-Uid": "5"}, {"Impersonate-Extra-Scopes": "view"}):
        assert who(api, None, tls=tls, headers={"Impersonate-User": "eve", **more}) == 403
    refused = api.request("POST", SELF, {}, token=None, tls=tls, headers={"Impersonate-User": "mary"})
    assert refused.json["message"].startswith(
        'users "mary" is forbidden: User "bob" cannot impersonate resource "users"'
    )
    refused = api.request("POST", SELF, {}, token=None, tls=api.tls("ted"), headers={"Impersonate-User": "mary"})
    assert refused.json["message"].startswith(
        'selfsubjectreviews.authentication.k8s.io is forbidden: User "ted" cannot impersonate-on:user-info:create '
        'resource "selfsubjectreviews"'
    )
    without = api.request("POST", SELF, {}, headers={"Impersonate-Group": "x"})
    assert without.status == 400
    assert without.json["message"] == (
        'requested &user.DefaultInfo{Name:"", UID:"", Groups:[]string{"x"}, Extra:map[string][]string(nil)} '
        "without impersonating a user name"
    )


def test_the_file_is_read_again(api: RunningServer, monkeypatch: pytest.MonkeyPatch) -> None:
    path = api.settings.security.authentication.config_file
    assert path is not None
    before = path.read_text()

    def look(text: str) -> None:
        path.write_text(text)

        async def now() -> None:
            api.server._reloads.look()  # type: ignore[union-attr] # not waiting for its interval

        api.call(now())

    assert reloading.INTERVAL_S > 1
    look(before.replace("[{path: /livez}, {path: /readyz}]", "[{path: /version}]"))
    assert api.request("GET", "/version", token=None).status == 200
    time.sleep(0.01)
    look(before.replace("expression: \"'oidc:' + claims.sub\"", 'expression: "claims."'))
    assert api.request("GET", "/version", token=None).status == 200  # a file that is no good changes nothing
    time.sleep(0.01)
    look(before)
    assert api.request("GET", "/version", token=None).status == 401


def test_impersonation_is_constrained_to_what_is_done(api: RunningServer) -> None:
    group = "rbac.authorization.k8s.io"
    rules = [
        {"apiGroups": ["authentication.k8s.io"], "resources": ["nodes"], "verbs": ["impersonate:arbitrary-node"],
         "resourceNames": ["n1"]},
        {"apiGroups": ["authentication.k8s.io"], "resources": ["selfsubjectreviews"],
         "verbs": ["impersonate-on:arbitrary-node:create"]},
    ]  # fmt: skip
    api.request("POST", f"/apis/{group}/v1/clusterroles", {"metadata": {"name": "as-node"}, "rules": rules})
    api.request("POST", f"/apis/{group}/v1/clusterrolebindings", {
        "metadata": {"name": "as-node"}, "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "as-node"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "agent"}],
    })  # fmt: skip
    tls = api.tls("agent")
    user = who(api, None, tls=tls, headers={"Impersonate-User": "system:node:n1"})
    assert user == {"username": "system:node:n1", "groups": ["system:nodes", "system:authenticated"]}
    assert who(api, None, tls=tls, headers={"Impersonate-User": "system:node:n2"}) == 403
    listed = api.request("GET", "/api/v1/pods", token=None, tls=tls, headers={"Impersonate-User": "system:node:n1"})
    assert listed.status == 403
    assert "cannot impersonate-on:arbitrary-node:list" in listed.json["message"]
