"""Certificates made on the spot: private, for the right hosts, and kept while they are good."""

from __future__ import annotations

import datetime as dt
import ssl
import stat

import pytest
from cryptography import x509

from flyem_snapshot.bridge import tls
from flyem_snapshot.errors import OutputError, SnapshotError


def test_the_key_is_the_users_alone(tmp_path):
    certificate, key = tls.self_signed(tmp_path / "tls", ["localhost"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in key.parent.iterdir()) == [certificate.name, key.name]


def test_the_certificate_names_hosts_and_addresses(tmp_path):
    certificate, key = tls.self_signed(tmp_path, ["localhost", "127.0.0.1", "::1"])
    found = x509.load_pem_x509_certificate(certificate.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(str(name.value) for name in names) == ["127.0.0.1", "::1", "localhost"]
    assert isinstance(tls.server_context(certificate, key), ssl.SSLContext)


def test_a_good_certificate_is_kept(tmp_path):
    certificate, _ = tls.self_signed(tmp_path, ["localhost", "127.0.0.1"])
    first = certificate.read_bytes()
    tls.self_signed(tmp_path, ["127.0.0.1", "localhost"])
    assert certificate.read_bytes() == first


@pytest.mark.parametrize("spoil", ["other hosts", "no key", "garbage", "expires"])
def test_another_one_is_made_when_it_is_not(tmp_path, monkeypatch, spoil):
    certificate, key = tls.self_signed(tmp_path, ["localhost"])
    first, hosts = certificate.read_bytes(), ["localhost"]
    if spoil == "other hosts":
        hosts = ["localhost", "elsewhere"]
    elif spoil == "no key":
        key.unlink()
    elif spoil == "garbage":
        certificate.write_text("no certificate")
    else:
        monkeypatch.setattr(tls, "_SOON", dt.timedelta(days=400))
    tls.self_signed(tmp_path, hosts)
    assert certificate.read_bytes() != first
    tls.server_context(certificate, key)


def test_a_key_of_another_certificate_is_refused(tmp_path):
    certificate, _ = tls.self_signed(tmp_path / "a", ["localhost"])
    _, key = tls.self_signed(tmp_path / "b", ["localhost"])
    with pytest.raises(SnapshotError, match="no usable certificate"):
        tls.server_context(certificate, key)
    with pytest.raises(SnapshotError, match="no usable certificate"):
        tls.server_context(tmp_path / "none.pem", key)


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be stored"):
        tls.self_signed(tmp_path / "file" / "tls", ["localhost"])
