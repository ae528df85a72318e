"""A key service over gRPC on a unix socket: asked once per key, and its keys may change."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc
import pytest

from tiphys.api import protobuf
from tiphys.apiserver.encryption import kms
from tiphys.apiserver.encryption.providers import Undecryptable

KEY = b"/registry/secrets/default/a"


class FakeService:
    """Encrypts by turning bits over; `key_id` names the key."""

    def __init__(self, path: Path) -> None:
        self.key_id = "k1"
        self.healthz = "ok"
        self.calls: list[str] = []
        self._server = grpc.server(ThreadPoolExecutor(2))
        handlers = {
            name: grpc.unary_unary_rpc_method_handler(
                answer,
                request_deserializer=lambda data, kind=kind: protobuf.decode(kind, data),
                response_serializer=protobuf.encode,
            )
            for name, kind, answer in (
                ("Status", kms.StatusRequest, self._status),
                ("Encrypt", kms.EncryptRequest, self._encrypt),
                ("Decrypt", kms.DecryptRequest, self._decrypt),
            )
        }
        generic = grpc.method_handlers_generic_handler("v2.KeyManagementService", handlers)
        self._server.add_generic_rpc_handlers((generic,))
        self._server.add_insecure_port(f"unix:{path}")
        self._server.start()

    def stop(self) -> None:
        self._server.stop(0).wait()

    def _status(self, _request: Any, _context: Any) -> Any:
        self.calls.append("Status")
        return kms.StatusResponse(version="v2", healthz=self.healthz, key_id=self.key_id)

    def _encrypt(self, request: Any, _context: Any) -> Any:
        self.calls.append("Encrypt")
        turned = self.key_id.encode() + bytes(byte ^ 0xFF for byte in request.plaintext)
        return kms.EncryptResponse(ciphertext=turned, key_id=self.key_id, annotations={"v.example.com": b"1"})

    def _decrypt(self, request: Any, _context: Any) -> Any:
        self.calls.append("Decrypt")
        assert request.annotations == {"v.example.com": b"1"}
        return kms.DecryptResponse(plaintext=bytes(byte ^ 0xFF for byte in request.ciphertext[2:]))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[FakeService]:
    made = FakeService(tmp_path / "kms.sock")
    yield made
    made.stop()


def provider(tmp_path: Path) -> kms.KmsProvider:
    return kms.KmsProvider("vault", kms.KmsService(f"unix://{tmp_path}/kms.sock", 3.0))


def test_one_seed_serves_all_writes(tmp_path: Path, service: FakeService) -> None:
    ours = provider(tmp_path)
    ours.refresh()
    values = [ours.encrypt(KEY, b"secret %d" % n) for n in range(5)]
    assert all(value.startswith(b"k8s:enc:kms:v2:vault:") and b"secret" not in value for value in values)
    assert [ours.decrypt(KEY, value) for value in values] == [b"secret %d" % n for n in range(5)]
    assert service.calls == ["Status", "Encrypt"]
    other = provider(tmp_path)
    other.refresh()
    assert [other.decrypt(KEY, value) for value in values] == [b"secret %d" % n for n in range(5)]
    assert service.calls[2:] == ["Status", "Encrypt", "Decrypt"]
    ours.close()
    other.close()


def test_a_new_key_makes_old_values_stale_and_readable(tmp_path: Path, service: FakeService) -> None:
    ours = provider(tmp_path)
    ours.refresh()
    old = ours.encrypt(KEY, b"x")
    service.key_id = "k2"
    ours.refresh()
    new = ours.encrypt(KEY, b"x")
    assert ours.label_of(old) != ours.label == ours.label_of(new)
    assert ours.decrypt(KEY, old) == b"x"
    with pytest.raises(Undecryptable, match="authentication failed"):
        ours.decrypt(KEY + b"b", new)
    ours.close()


def test_a_service_that_is_not_well(tmp_path: Path, service: FakeService) -> None:
    ours = provider(tmp_path)
    service.healthz = "sealed"
    with pytest.raises(kms.KmsUnavailable, match="got unexpected healthz status: sealed"):
        ours.refresh()
    with pytest.raises(Undecryptable, match="has given no key yet"):
        ours.encrypt(KEY, b"x")
    ours.close()
    absent = kms.KmsProvider("x", kms.KmsService(f"unix://{tmp_path}/none.sock", 0.5))
    with pytest.raises(kms.KmsUnavailable):
        absent.refresh()
    absent.close()
