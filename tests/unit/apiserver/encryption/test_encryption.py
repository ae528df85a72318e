"""Values on disk cannot be read without the key, and keys may be changed while objects live."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tiphys.api.errors import InternalError
from tiphys.api.kind import new
from tiphys.api.kinds import CONFIGMAP, KINDS, NAMESPACE, SECRET
from tiphys.api.meta.types import DeleteOptions
from tiphys.apiserver.configfile import ConfigError
from tiphys.apiserver.encryption import config
from tiphys.apiserver.encryption.store import EncryptedStore
from tiphys.apiserver.encryption.transformers import Transformers
from tiphys.apiserver.registry.interface import ListOptions, WriteOptions
from tiphys.apiserver.registry.registry import open_registry
from tiphys.apiserver.request import User
from tiphys.store.embedded.store import EmbeddedStore
from tiphys.store.interface import Put
from tiphys.testing.clock import FakeClock

ONE, TWO = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
KEY = b"/registry/secrets/default/a"
OPTS = WriteOptions(User("admin"), field_manager="tests")


def written(tmp_path: Path, *providers: str, resources: str = "secrets") -> Path:
    path = tmp_path / "encryption.yaml"
    lines = "\n".join(f"  - {provider}" for provider in providers)
    path.write_text(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n"
        f"- resources: [{resources}]\n  providers:\n{lines}\n"
    )
    return path


def keyed(cipher: str, *keys: tuple[str, str]) -> str:
    listed = ", ".join(f"{{name: {name}, secret: {secret}}}" for name, secret in keys)
    return f"{cipher}: {{keys: [{listed}]}}"


def transformers(path: Path) -> Transformers:
    return Transformers(config.load(path), [kind for kind in KINDS if kind.stored])


@pytest.mark.parametrize("cipher", ["aesgcm", "aescbc", "secretbox"])
def test_what_is_encrypted_comes_back(tmp_path: Path, cipher: str) -> None:
    chain = transformers(written(tmp_path, keyed(cipher, ("k1", ONE)))).of(KEY)
    assert chain is not None
    for plain in (b"", b"x", b"0123456789abcdef", b"y" * 1000):
        data = chain.encrypt(KEY, plain)
        assert data.startswith(f"k8s:enc:{cipher}:v1:k1:".encode())
        assert plain == b"" or plain not in data[len(cipher) + 14 :] or len(plain) < 3
        assert chain.decrypt(KEY, data) == plain
        assert chain.encrypt(KEY, plain) != data


@pytest.mark.parametrize("cipher", ["aesgcm", "secretbox"])
def test_a_changed_value_is_refused(tmp_path: Path, cipher: str) -> None:
    chain = transformers(written(tmp_path, keyed(cipher, ("k1", ONE)))).of(KEY)
    assert chain is not None
    data = bytearray(chain.encrypt(KEY, b"secret"))
    data[-1] ^= 1
    with pytest.raises(Exception, match=r"authentication failed|output array"):
        chain.decrypt(KEY, bytes(data))


def test_a_value_belongs_to_its_key(tmp_path: Path) -> None:
    chain = transformers(written(tmp_path, keyed("aesgcm", ("k1", ONE)))).of(KEY)
    assert chain is not None
    with pytest.raises(Exception, match="message authentication failed"):
        chain.decrypt(KEY + b"b", chain.encrypt(KEY, b"secret"))


@pytest.mark.parametrize(
    ("rule", "key", "covered"),
    [
        ("secrets", b"/registry/secrets/ns/a", True),
        ("secrets", b"/registry/configmaps/ns/a", False),
        ("'*.'", b"/registry/pods/ns/a", True),
        ("'*.'", b"/registry/services/specs/ns/a", True),
        ("'*.'", b"/registry/deployments/ns/a", False),
        ("'*.apps'", b"/registry/deployments/ns/a", True),
        ("deployments.apps", b"/registry/deployments/ns/a", True),
        ("widgets.example.com", b"/registry/example.com/widgets/ns/a", True),
        ("'*.*'", b"/registry/example.com/widgets/ns/a", True),
        ("'*.*'", b"compact_rev_key", False),
    ],
)
def test_which_resources(tmp_path: Path, rule: str, key: bytes, covered: bool) -> None:
    found = transformers(written(tmp_path, keyed("aesgcm", ("k1", ONE)), resources=rule)).of(key)
    assert (found is not None) is covered


@pytest.mark.parametrize(
    ("providers", "text"),
    [
        (
            ["aesgcm: {keys: []}"],
            "resources[0].providers[0].aesgcm.keys: Required value: at least one keys is required",
        ),
        ([keyed("aesgcm", ("a", "AAAA"))], "secret is not of the expected length, got 3, expected one of [16 24 32]"),
        ([keyed("secretbox", ("a", "'%%'"))], 'Invalid value: "REDACTED": secrets must be base64 encoded'),
        (["{identity: {}, aesgcm: {keys: []}}"], "more than one provider specified in a single element"),
        (["{}"], "provider does not contain any of the expected providers"),
        (["kms: {apiVersion: v2, name: 'a:b', endpoint: 'unix:///x'}"], "must not contain ':'"),
        (["kms: {apiVersion: v2, name: a, endpoint: 'http://x'}"], 'unsupported scheme "http" for KMS provider'),
        (["aesgmc: {}"], "unknown field"),
    ],
)
def test_bad_configurations(tmp_path: Path, providers: list[str], text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        config.load(written(tmp_path, *providers))
    assert text in str(refused.value)
    assert "AAAA" not in str(refused.value)


async def opened(tmp_path: Path, *providers: str) -> tuple[Any, Any, EncryptedStore]:
    clock = FakeClock()
    inner = await EmbeddedStore.open(tmp_path / "db", clock=clock)
    store = EncryptedStore(inner, transformers(written(tmp_path, *providers)))
    try:
        registry = await open_registry(store, clock)
    except BaseException:
        await store.close()
        raise
    return registry, inner, store


def secret() -> Any:
    return new(SECRET, "a", "default", data={"password": b"hunter2hunter2"})


async def test_secrets_are_unreadable_on_disk_and_served_as_they_were(tmp_path: Path) -> None:
    registry, inner, store = await opened(tmp_path, keyed("aesgcm", ("k1", ONE)), "identity: {}")
    await registry.create(NAMESPACE, "", new(NAMESPACE, "default"), OPTS)
    await registry.create(SECRET, "default", secret(), OPTS)
    await registry.create(CONFIGMAP, "default", new(CONFIGMAP, "c", "default", data={"k": "plainly"}), OPTS)
    record = await inner.get(KEY)
    assert record.value.startswith(b"k8s:enc:aesgcm:v1:k1:")
    assert (await registry.get(SECRET, "default", "a")).obj.data == secret().data
    assert b"plainly" in (await inner.get(b"/registry/configmaps/default/c")).value
    await registry.close()
    await store.close()
    raw = b"".join(path.read_bytes() for path in (tmp_path / "db").rglob("*") if path.is_file())
    assert b"plainly" in raw
    assert base64.b64encode(b"hunter2hunter2") not in raw
    registry, _, store = await opened(tmp_path, keyed("aesgcm", ("k1", ONE)))
    assert (await registry.get(SECRET, "default", "a")).obj.data == secret().data
    await registry.close()
    await store.close()


async def test_a_write_without_a_change_moves_an_object_to_the_new_key(tmp_path: Path) -> None:
    registry, inner, store = await opened(tmp_path, "identity: {}")
    await registry.create(NAMESPACE, "", new(NAMESPACE, "default"), OPTS)
    await registry.create(SECRET, "default", secret(), OPTS)
    store.replace(transformers(written(tmp_path, keyed("aesgcm", ("k1", ONE)), "identity: {}")))
    for expected in (b"k8s:enc:aesgcm:v1:k1:", b"k8s:enc:aesgcm:v1:k2:"):
        before = (await registry.get(SECRET, "default", "a")).revision
        await registry.update(SECRET, "default", "a", lambda current: current, OPTS)
        entry = await registry.get(SECRET, "default", "a")
        assert entry.revision > before
        assert (await inner.get(KEY)).value.startswith(expected)
        await registry.update(SECRET, "default", "a", lambda current: current, OPTS)
        assert (await registry.get(SECRET, "default", "a")).revision == entry.revision
        store.replace(transformers(written(tmp_path, keyed("aesgcm", ("k2", TWO), ("k1", ONE)), "identity: {}")))
    await registry.close()
    await store.close()


async def test_an_unknown_key_is_named_with_its_object(tmp_path: Path) -> None:
    registry, _, store = await opened(tmp_path, keyed("aesgcm", ("k1", ONE)))
    await registry.create(NAMESPACE, "", new(NAMESPACE, "default"), OPTS)
    await registry.create(SECRET, "default", secret(), OPTS)
    await registry.close()
    await store.close()
    text = 'unable to transform key "/registry/secrets/default/a": no matching key was found for the provided AESGCM'
    for keys, why in ((("k2", TWO), text), (("k1", TWO), 'secrets/default/a": cipher: message authentication failed')):
        registry, _, store = await opened(tmp_path, keyed("aesgcm", keys))
        with pytest.raises(InternalError, match=why):
            await registry.get(SECRET, "default", "a")
        for namespace in ("default", ""):
            with pytest.raises(InternalError, match=why):
                await registry.list(SECRET, namespace, ListOptions())
        other = secret()
        other.metadata.name = "b"
        await registry.create(SECRET, "default", other, OPTS)
        assert (await registry.get(SECRET, "default", "b")).obj.data == other.data
        await registry.delete(SECRET, "default", "b", DeleteOptions(), OPTS)
        assert not (await registry.list(SECRET, "elsewhere", ListOptions())).entries
        await registry.close()
        await store.close()


async def test_what_another_server_writes_is_decrypted_too(tmp_path: Path) -> None:
    registry, inner, store = await opened(tmp_path, keyed("secretbox", ("k1", ONE)))
    await registry.create(NAMESPACE, "", new(NAMESPACE, "default"), OPTS)
    await registry.create(SECRET, "default", secret(), OPTS)
    plain = (await store.get(KEY)).value.replace(b'"name":"a"', b'"name":"b"')
    chain = transformers(written(tmp_path, keyed("secretbox", ("k1", ONE)))).of(KEY)
    assert chain is not None
    other = KEY[:-1] + b"b"
    await inner.txn((), (Put(other, chain.encrypt(other, plain)),))
    assert (await registry.get(SECRET, "default", "b")).obj.data == secret().data
    await registry.close()
    await store.close()
