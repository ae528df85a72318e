"""Keys and certificates: a CA, what it signs, and keeping both in private files.

Certificates are EC P-256; the key that signs service-account tokens is RSA 2048, because every JWT library reads RS256.
Importing `cryptography` costs some 60 ms, so nothing here is imported before it is needed: a start that finds all its
files only reads them.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
import ssl
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

CA_DAYS = 3650
LEAF_DAYS = 365
_CLOCK_SKEW = dt.timedelta(minutes=5)


class KeyPair(msgspec.Struct, frozen=True):
    """A certificate and its private key, both PEM."""

    certificate: bytes
    key: bytes


class PairPaths(msgspec.Struct, frozen=True):
    """Where a key pair is kept."""

    certificate: Path
    key: Path

    def exist(self) -> bool:
        return self.certificate.is_file() and self.key.is_file()


def write_private(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Put `data` at `path` in one step, readable by the owner alone. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            os.fchmod(out.fileno(), mode)
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def _name(common_name: str, organizations: Iterable[str]) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, org) for org in organizations]
    return x509.Name([*attributes, x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _alternatives(names: Iterable[str]) -> list[x509.GeneralName]:
    from cryptography import x509

    found: list[x509.GeneralName] = []
    for name in dict.fromkeys(names):
        try:
            found.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            found.append(x509.DNSName(name))
    return found


def _pem(certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> KeyPair:
    from cryptography.hazmat.primitives import serialization as s

    private = key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())
    return KeyPair(certificate.public_bytes(s.Encoding.PEM), private)


def _issue(
    subject: x509.Name,
    issuer: KeyPair | None,
    extensions: Sequence[tuple[x509.ExtensionType, bool]],
    days: int,
    now: dt.datetime,
) -> KeyPair:
    """A certificate for `subject` and a fresh key, signed by `issuer` (None: by itself)."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    signer, issuer_name, issuer_public = key, subject, key.public_key()
    if issuer is not None:
        parent = x509.load_pem_x509_certificate(issuer.certificate)
        loaded = serialization.load_pem_private_key(issuer.key, None)
        if not isinstance(loaded, ec.EllipticCurvePrivateKey):
            raise ValueError("the CA's key must be an EC key")
        parent_public = parent.public_key()
        if not isinstance(parent_public, ec.EllipticCurvePublicKey):
            raise ValueError("the CA's certificate must hold an EC key")
        signer, issuer_name, issuer_public = loaded, parent.subject, parent_public
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_SKEW)
        .not_valid_after(now + dt.timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_public), critical=False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return _pem(builder.sign(signer, hashes.SHA256()), key)


def _key_usage(*, authority: bool) -> x509.KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=True, key_cert_sign=authority, crl_sign=authority, content_commitment=False,
        key_encipherment=not authority, data_encipherment=False, key_agreement=False, encipher_only=False,
        decipher_only=False,
    )  # fmt: skip


def new_ca(common_name: str, *, now: dt.datetime, days: int = CA_DAYS) -> KeyPair:
    """A self-signed authority that may sign leaves only."""
    from cryptography import x509

    basic = x509.BasicConstraints(ca=True, path_length=0)
    return _issue(_name(common_name, ()), None, [(basic, True), (_key_usage(authority=True), True)], days, now)


def new_server(
    ca: KeyPair,
    common_name: str,
    names: Iterable[str],
    *,
    now: dt.datetime,
    client: bool = False,
    days: int = LEAF_DAYS,
) -> KeyPair:
    """A serving certificate for `names` (DNS names and IP addresses); `client`: also good as a client certificate."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    usages = [ExtendedKeyUsageOID.SERVER_AUTH] + ([ExtendedKeyUsageOID.CLIENT_AUTH] if client else [])
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(authority=False), True),
        (x509.ExtendedKeyUsage(usages), False),
        (x509.SubjectAlternativeName(_alternatives(names)), False),
    ]
    return _issue(_name(common_name, ()), ca, extensions, days, now)


def new_provisional(common_name: str, names: Iterable[str], *, now: dt.datetime, days: int) -> KeyPair:
    """A serving certificate that nobody vouches for, until a real one is there."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
        (x509.SubjectAlternativeName(_alternatives(names)), False),
    ]
    return _issue(_name(common_name, ()), None, extensions, days, now)


def new_client(
    ca: KeyPair, user: str, groups: Iterable[str] = (), *, now: dt.datetime, days: int = LEAF_DAYS
) -> KeyPair:
    """A client certificate: the API reads the user from CN and the groups from O."""
    from cryptography import x509
    from cryptography.x509.oid import ExtendedKeyUsageOID

    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(authority=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    ]
    return _issue(_name(user, groups), ca, extensions, days, now)


def new_signing_key() -> bytes:
    """A PEM RSA key that signs service-account tokens. Takes 25 ms to 100 ms."""
    from cryptography.hazmat.primitives import serialization as s
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(s.Encoding.PEM, s.PrivateFormat.PKCS8, s.NoEncryption())


_TIME = re.compile(rb"\x17\x0d(\d{12})Z|\x18\x0f(\d{14})Z")


def expires(certificate: bytes) -> dt.datetime:
    """When a PEM certificate ends: the second time in its DER form. Raises ValueError for what is no certificate.

    Read from the bytes, because a start that only finds its files should not import `cryptography` for it.
    """
    moments = _TIME.findall(ssl.PEM_cert_to_DER_cert(certificate.decode("ascii")))
    if len(moments) < 2:
        raise ValueError("the certificate states no validity")
    short, long = moments[1]
    text = long.decode() if long else ("20" if short[:2] < b"50" else "19") + short.decode()
    return dt.datetime.strptime(text, "%Y%m%d%H%M%S").replace(tzinfo=dt.UTC)


def _encoded_name(name: str) -> bytes:
    """A subject alternative name as DER has it: tag, length, value."""
    try:
        value, tag = ipaddress.ip_address(name).packed, 0x87
    except ValueError:
        value, tag = name.encode("idna"), 0x82
    return bytes((tag, len(value))) + value


def covers(certificate: bytes, names: Iterable[str], *, now: dt.datetime, spare_days: int = 30) -> bool:
    """Whether a PEM certificate that we made names all of `names` and lives at least `spare_days` longer."""
    try:
        if expires(certificate) < now + dt.timedelta(days=spare_days):
            return False
        der = ssl.PEM_cert_to_DER_cert(certificate.decode("ascii"))
    except ValueError:
        return False
    return all(_encoded_name(name) in der for name in names)


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of the certificate's DER form, in hex: how one certificate is told from another."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    return x509.load_pem_x509_certificate(certificate).fingerprint(hashes.SHA256()).hex()


def load(paths: PairPaths) -> KeyPair:
    """Raises OSError."""
    return KeyPair(paths.certificate.read_bytes(), paths.key.read_bytes())


def save(paths: PairPaths, pair: KeyPair) -> None:
    """Write both files: the key for its owner alone, the certificate for all. Raises OSError."""
    write_private(paths.key, pair.key)
    write_private(paths.certificate, pair.certificate, 0o644)


def load_or_create_ca(paths: PairPaths, common_name: str, *, now: dt.datetime) -> KeyPair:
    """The CA kept at `paths`; made and written on first use. Raises OSError."""
    if paths.exist():
        return load(paths)
    pair = new_ca(common_name, now=now)
    save(paths, pair)
    return pair


def load_or_create_server(
    paths: PairPaths, ca: KeyPair, common_name: str, names: Sequence[str], *, now: dt.datetime, client: bool = False
) -> KeyPair:
    """The serving certificate kept at `paths`; made anew when absent, near its end, or short of one of `names`."""
    if paths.exist():
        pair = load(paths)
        if covers(pair.certificate, names, now=now):
            return pair
    pair = new_server(ca, common_name, names, now=now, client=client)
    save(paths, pair)
    return pair


def load_or_create_client(
    paths: PairPaths, ca: KeyPair, user: str, groups: Iterable[str] = (), *, now: dt.datetime
) -> KeyPair:
    """The client certificate kept at `paths`; made anew when absent or near its end."""
    if paths.exist():
        pair = load(paths)
        if covers(pair.certificate, (), now=now):
            return pair
    pair = new_client(ca, user, groups, now=now)
    save(paths, pair)
    return pair


def load_or_create_signing_key(path: Path) -> bytes:
    """The service-account signing key kept at `path`. Raises OSError."""
    if path.is_file():
        return path.read_bytes()
    key = new_signing_key()
    write_private(path, key)
    return key
