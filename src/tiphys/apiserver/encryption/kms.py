"""KMS v2: a service on a unix socket keeps the key; we keep a seed that only it can open, and derive keys from that.

One seed serves all writes until the service's key changes; each value's own key is derived from the seed and 32 random
bytes that stand before it (HKDF-SHA256, expand only). Reading a value of a seed not seen before asks the service once.
Source: staging/src/k8s.io/apiserver/pkg/storage/value/encrypt/envelope/kmsv2, staging/src/k8s.io/kms/apis/v2.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import threading
import uuid
from typing import Annotated, Any

from tiphys.api.meta.schema import Struct, proto
from tiphys.apiserver.encryption.providers import PREFIX, AesGcm, Undecryptable

log = logging.getLogger(__name__)

_SEED_BYTES = _INFO_BYTES = 32
_MAX_SEEDS = 1000
_SEED_TYPE = 1
_SERVICE = "/v2.KeyManagementService/"


class StatusRequest(Struct):
    """Asks how the service is."""


class StatusResponse(Struct):
    version: Annotated[str, proto(1)] = ""
    healthz: Annotated[str, proto(2)] = ""
    key_id: Annotated[str, proto(3)] = ""


class EncryptRequest(Struct):
    plaintext: Annotated[bytes, proto(1)] = b""
    uid: Annotated[str, proto(2)] = ""


class EncryptResponse(Struct):
    ciphertext: Annotated[bytes, proto(1)] = b""
    key_id: Annotated[str, proto(2)] = ""
    annotations: Annotated[dict[str, bytes], proto(3)] = {}


class DecryptRequest(Struct):
    ciphertext: Annotated[bytes, proto(1)] = b""
    uid: Annotated[str, proto(2)] = ""
    key_id: Annotated[str, proto(3)] = ""
    annotations: Annotated[dict[str, bytes], proto(4)] = {}


class DecryptResponse(Struct):
    plaintext: Annotated[bytes, proto(1)] = b""


class EncryptedObject(Struct):
    """What stands in the store behind the prefix."""

    encrypted_data: Annotated[bytes, proto(1)] = b""
    key_id: Annotated[str, proto(2)] = ""
    encrypted_dek_source: Annotated[bytes, proto(3)] = b""
    annotations: Annotated[dict[str, bytes], proto(4)] = {}
    encrypted_dek_source_type: Annotated[int, proto(5)] = 0


class KmsUnavailable(Exception):
    """The service does not answer, or not as it should."""


class KmsService:
    """Calls that block: made in threads, or where nothing else can wait."""

    def __init__(self, endpoint: str, timeout_s: float) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._channel: Any = None
        self._lock = threading.Lock()

    def _call(self, method: str, request: Struct, answer: Any) -> Any:
        os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
        import grpc

        from tiphys.api import protobuf

        with self._lock:
            if self._channel is None:
                path = self._endpoint.removeprefix("unix:").replace("//", "/", 1).replace("//", "/")
                target = f"unix:{path}" if not path.startswith("/@") else f"unix-abstract:{path[2:]}"
                self._channel = grpc.insecure_channel(target, options=[("grpc.default_authority", "localhost")])
        stub = self._channel.unary_unary(
            _SERVICE + method,
            request_serializer=protobuf.encode,
            response_deserializer=lambda data: protobuf.decode(answer, data),
        )
        try:
            return stub(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            raise KmsUnavailable(f"{self._endpoint}: {method}: {error.details() or error.code().name}") from error

    def status(self) -> StatusResponse:
        """Raises KmsUnavailable, also where the service says that it is not well."""
        found: StatusResponse = self._call("Status", StatusRequest(), StatusResponse)
        if found.version not in ("v2", "v2beta1"):
            raise KmsUnavailable(f"{self._endpoint}: expected version v2, got {found.version!r}")
        if found.healthz != "ok":
            raise KmsUnavailable(f"{self._endpoint}: got unexpected healthz status: {found.healthz}")
        if not found.key_id:
            raise KmsUnavailable(f"{self._endpoint}: the status names no key")
        return found

    def encrypt(self, plain: bytes) -> EncryptResponse:
        made: EncryptResponse = self._call(
            "Encrypt", EncryptRequest(plaintext=plain, uid=str(uuid.uuid4())), EncryptResponse
        )
        return made

    def decrypt(self, held: EncryptedObject) -> bytes:
        asked = DecryptRequest(
            ciphertext=held.encrypted_dek_source, uid=str(uuid.uuid4()), key_id=held.key_id,
            annotations=held.annotations,
        )  # fmt: skip
        found: DecryptResponse = self._call("Decrypt", asked, DecryptResponse)
        return bytes(found.plaintext)

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None


class _Seed:
    """A seed in the clear, and how it is kept."""

    __slots__ = ("envelope", "seed")

    def __init__(self, seed: bytes, envelope: EncryptResponse) -> None:
        self.seed = seed
        self.envelope = envelope


class KmsProvider:
    """A `Provider`. `refresh` must have succeeded before anything is written."""

    def __init__(self, name: str, service: KmsService) -> None:
        self.name = name
        self.prefix = PREFIX + b"kms:v2:" + name.encode() + b":"
        self._service = service
        self._current: _Seed | None = None
        self._seeds: dict[bytes, bytes] = {}
        """Encrypted seed -> seed."""

    @property
    def label(self) -> bytes:
        return self.prefix + (self._current.envelope.key_id.encode() if self._current is not None else b"")

    def label_of(self, data: bytes) -> bytes:
        try:
            return self.prefix + self._held(data).key_id.encode()
        except Undecryptable:
            return b"?"

    def refresh(self) -> None:
        """Look which key the service has, and get a seed of it where it is a new one. Blocks. Raises KmsUnavailable."""
        status = self._service.status()
        if self._current is not None and self._current.envelope.key_id == status.key_id:
            return
        seed = os.urandom(_SEED_BYTES)
        envelope = self._service.encrypt(seed)
        if not envelope.ciphertext or not envelope.key_id or len(envelope.ciphertext) > 1024:
            raise KmsUnavailable(f"{self.name}: the service's answer to Encrypt is not usable")
        self._current = _Seed(seed, envelope)
        self._remember(envelope.ciphertext, seed)

    def _remember(self, ciphertext: bytes, seed: bytes) -> None:
        if len(self._seeds) >= _MAX_SEEDS:
            self._seeds.clear()
        self._seeds[bytes(ciphertext)] = seed

    def encrypt(self, key: bytes, plain: bytes) -> bytes:
        from tiphys.api import protobuf

        current = self._current
        if current is None:
            raise Undecryptable(f"kms provider {self.name} has given no key yet")
        info = os.urandom(_INFO_BYTES)
        held = EncryptedObject(
            encrypted_data=info + AesGcm(_derived(current.seed, info)).seal(plain, key),
            key_id=current.envelope.key_id, encrypted_dek_source=current.envelope.ciphertext,
            annotations=current.envelope.annotations, encrypted_dek_source_type=_SEED_TYPE,
        )  # fmt: skip
        return self.prefix + protobuf.encode(held)

    def _held(self, data: bytes) -> EncryptedObject:
        from tiphys.api import protobuf

        try:
            return protobuf.decode(EncryptedObject, data[len(self.prefix) :])
        except ValueError as error:
            raise Undecryptable(f"failed to unmarshal the encrypted object: {error}") from error

    def decrypt(self, key: bytes, data: bytes) -> bytes:
        held = self._held(data)
        seed = self._seeds.get(bytes(held.encrypted_dek_source))
        if seed is None:
            try:
                seed = self._service.decrypt(held)
            except KmsUnavailable as error:
                raise Undecryptable(f"failed to decrypt DEK, error: {error}") from error
            self._remember(held.encrypted_dek_source, seed)
        if held.encrypted_dek_source_type != _SEED_TYPE:
            return AesGcm(seed).open(held.encrypted_data, key)
        info, body = held.encrypted_data[:_INFO_BYTES], held.encrypted_data[_INFO_BYTES:]
        if len(info) < _INFO_BYTES:
            raise Undecryptable("the stored data was shorter than the required size")
        return AesGcm(_derived(seed, info)).open(body, key)

    def close(self) -> None:
        self._service.close()


def _derived(seed: bytes, info: bytes) -> bytes:
    """HKDF-Expand for one block of SHA-256 (RFC 5869)."""
    return hmac.new(seed, bytes(info) + b"\x01", hashlib.sha256).digest()
