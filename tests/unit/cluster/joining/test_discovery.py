"""Whether the cluster that answers is the one that the token was made in."""

import datetime as dt
import json

import pytest

from tiphys.base import pki
from tiphys.client import kubeconfig
from tiphys.client.kubeconfig import Access
from tiphys.cluster.failure import ClusterError
from tiphys.cluster.joining import discovery, tokens
from tiphys.controllers.bootstrap_signer import signature

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
CA = pki.new_ca("tiphys", now=NOW).certificate
TOKEN = tokens.BootstrapToken("abcdef", "0123456789abcdef")
CONTENT = kubeconfig.render_cluster(Access("https://10.0.0.1:6443", ca=CA))


def info(**changes: object) -> bytes:
    data: dict[str, object] = {
        "kubeconfig": CONTENT,
        "jws-kubeconfig-abcdef": signature(CONTENT, TOKEN.id, TOKEN.secret),
    }
    data |= changes
    return json.dumps({"data": {name: value for name, value in data.items() if value is not None}}).encode()


def test_the_right_cluster_is_believed() -> None:
    assert discovery.verified_ca(info(), TOKEN, discovery.ca_hash(CA)) == CA
    assert discovery.verified_ca(info(), TOKEN, discovery.ca_hash(CA).upper().replace("SHA", "sha")) == CA


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"<html>", "cannot be read"),
        (b"{}", "cannot be read"),
        (b'{"data": []}', "cannot be read"),
        (info(kubeconfig=None), "holds no kubeconfig"),
        (info(**{"jws-kubeconfig-abcdef": None}), "does not know the token abcdef"),
        (info(**{"jws-kubeconfig-abcdef": "x..y"}), "another secret"),
        (info(kubeconfig=CONTENT + "# more"), "another secret"),
    ],
)
def test_anything_else_is_refused(answer: bytes, said: str) -> None:
    with pytest.raises(ClusterError, match=said):
        discovery.verified_ca(answer, TOKEN, discovery.ca_hash(CA))


@pytest.mark.parametrize("content", ["", "a: [", "clusters: []", "clusters: [{cluster: {}}]"])
def test_a_signed_nonsense_is_refused(content: str) -> None:
    answer = info(kubeconfig=content, **{"jws-kubeconfig-abcdef": signature(content, TOKEN.id, TOKEN.secret)})
    with pytest.raises(ClusterError):
        discovery.verified_ca(answer, TOKEN, discovery.ca_hash(CA))


def test_another_ca_with_the_right_signature_is_refused() -> None:
    with pytest.raises(ClusterError, match="somebody stands between"):
        discovery.verified_ca(info(), TOKEN, "sha256:" + "0" * 64)


@pytest.mark.parametrize(
    ("date", "said"),
    [
        ("Sun, 01 Mar 2026 12:04:00 GMT", None),
        ("Sun, 01 Mar 2026 11:50:00 GMT", "10 minutes ahead of"),
        ("Sun, 01 Mar 2026 15:00:00 GMT", "3 hours behind"),
        ("Wed, 01 Apr 2026 12:00:00 GMT", "31 days behind"),
        ("", None),
        ("yesterday", None),
    ],
)
def test_clocks_that_are_apart_are_told(date: str, said: str | None) -> None:
    if said is None:
        discovery.compare_clocks(date, NOW)
        return
    with pytest.raises(ClusterError, match=said):
        discovery.compare_clocks(date, NOW)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("10.0.0.1", "https://10.0.0.1:6443"),
        ("10.0.0.1:7443", "https://10.0.0.1:7443"),
        ("https://host.example:1/", "https://host.example:1"),
        ("[fd00::1]:6443", "https://[fd00::1]:6443"),
    ],
)
def test_addresses(text: str, url: str) -> None:
    assert discovery.server_url(text) == url


@pytest.mark.parametrize("text", ["http://a:1", "a:b", "https://a:1/path", "", "a:99999"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ClusterError, match="is not an API server's address"):
        discovery.server_url(text)


@pytest.mark.parametrize("text", ["", "abcdef", "abcdef.short", "ABCDEF.0123456789abcdef", "abcdef.0123456789abcdef0"])
def test_what_is_no_token(text: str) -> None:
    with pytest.raises(ClusterError, match="no token"):
        tokens.parse(text)


def test_tokens_are_what_upstream_reads_and_say_no_secret() -> None:
    made = tokens.generate()
    assert tokens.parse(str(made)) == made
    assert made.secret not in repr(made)
    secret = tokens.secret_of(made, ("system:bootstrappers:a", "system:bootstrappers:b"), NOW, 3600, "x")
    assert secret.metadata.name == f"bootstrap-token-{made.id}" and secret.type == "bootstrap.kubernetes.io/token"
    assert secret.data["expiration"] == b"2026-03-01T13:00:00Z"
    assert secret.data["auth-extra-groups"] == b"system:bootstrappers:a,system:bootstrappers:b"
    assert "expiration" not in tokens.secret_of(made, (), NOW, 0, "").data
