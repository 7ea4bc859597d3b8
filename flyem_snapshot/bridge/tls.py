"""Encryption of the bridge's own connections: neuPrint's Python client speaks to https only."""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from flyem_snapshot.errors import OutputError, SnapshotError

_DAYS: Final = 365
_SOON: Final = dt.timedelta(days=7)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a server needs to encrypt.  SnapshotError: the files are missing, unreadable, or do not fit together."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # ssl.SSLError is one too
        hint = "both are PEM files; the key belongs to the certificate and has no passphrase"
        raise SnapshotError(f"{certificate}, {key}: no usable certificate and key: {error}", hint=hint) from error
    return context


def self_signed(directory: Path, hosts: Iterable[str]) -> tuple[Path, Path]:
    """A certificate for `hosts` (names or addresses) and its key, in `directory`, which only the user may read.

    The files of an earlier call are used again if they are for the same hosts and valid for some days yet, so that a
    client may keep the certificate.  OutputError: the directory cannot be written.
    """
    names = sorted(set(hosts))
    certificate, key = directory / "certificate.pem", directory / "key.pem"
    if key.is_file() and _usable(certificate, names):
        return certificate, key
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _make(certificate, key, names)
    except OSError as error:
        raise OutputError(f"{directory}: the certificate cannot be stored: {error}") from error
    return certificate, key


def _usable(certificate: Path, hosts: list[str]) -> bool:
    try:
        found = x509.load_pem_x509_certificate(certificate.read_bytes())
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (OSError, ValueError, x509.ExtensionNotFound):
        return False
    listed = sorted(str(name.value) for name in names)
    return listed == hosts and found.not_valid_after_utc - _SOON > dt.datetime.now(dt.UTC)


def _make(certificate: Path, key: Path, hosts: list[str]) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "flyem-snapshot neuPrint bridge")])
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + dt.timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        # Clients that trust this very certificate want it to be an authority; it can sign for nobody else.
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(private.public_key()), critical=False)
        .add_extension(_key_usage(), critical=True)
        .sign(private, hashes.SHA256())
    )
    secret = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    _replace(key, secret, 0o600)
    _replace(certificate, signed.public_bytes(serialization.Encoding.PEM), 0o644)


def _key_usage() -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Write a file that nobody sees half written or with wider permissions."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    os.replace(temporary, path)
