"""TLS and mutual TLS: who is not vouched for is neither believed nor let in, and what goes in the clear is said."""

import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from singularity_bridge.errors import FatalError
from singularity_bridge.settings import Settings
from singularity_lab import Bridge, Database, Lab, NatsServer
from singularity_lab.credentials import Certificates
from singularity_lab.process import clean_environment

PROGRAM = Path(sysconfig.get_path("scripts")) / "singularity-bridge"


@pytest.fixture
def mutual(lab: Lab) -> tuple[NatsServer, Certificates]:
    """Start a server that wants a certificate from everybody; returns who issues them, too."""
    certificates = Certificates(lab.folder / "mutual")
    certificate, key = certificates.server
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{key}", ca_file: "{certificates.authority}", verify: true }}'
    return lab.nats("mutual", secure=False, configuration=tls), certificates


def bridge(lab: Lab, database: Database, server: NatsServer, *options: object, **environment: str) -> Bridge:
    """Start a bridge that is told nothing but this."""
    url = server.url.replace("nats://", "tls://")
    return lab.bridge(database, url, options=[str(option) for option in options], environment=environment)


def test_mutual_tls(lab: Lab, authority: Database, mutual: tuple[NatsServer, Certificates]) -> None:
    server, certificates = mutual
    certificate, key = certificates.issue("authority.example")
    given = ["--tls-ca", certificates.authority, "--tls-cert", certificate, "--tls-key", key]
    bridge(lab, authority, server, *given).wait_for_log("connected to NATS")


def test_mutual_tls_by_the_environment(
    lab: Lab, authority: Database, mutual: tuple[NatsServer, Certificates]
) -> None:
    server, certificates = mutual
    certificate, key = certificates.issue("authority.example")
    variables = {"NATS_CA": certificates.authority, "NATS_CERT": certificate, "NATS_KEY": key}
    started = bridge(lab, authority, server, **{name: str(file) for name, file in variables.items()})
    started.wait_for_log("connected to NATS")


def test_without_a_certificate_or_with_a_strangers_nobody_is_let_in(
    lab: Lab, authority: Database, mutual: tuple[NatsServer, Certificates]
) -> None:
    server, certificates = mutual
    strangers = Certificates(lab.folder / "strangers").issue("authority.example")
    for given in ([], ["--tls-cert", strangers[0], "--tls-key", strangers[1]]):
        refused = bridge(lab, authority, server, "--tls-ca", certificates.authority, *given)
        refused.wait_for_log("waiting for NATS")
        refused.close()
        assert "connected to NATS" not in refused.log_text()
        refused.log.unlink()


def test_a_server_that_another_authority_vouches_for_is_not_believed(lab: Lab, authority: Database) -> None:
    server = lab.nats(secure=False, tls=True)
    others = Certificates(lab.folder / "others")
    started = bridge(lab, authority, server, "--tls-ca", others.authority)
    started.wait_for_log("waiting for NATS")
    assert "certificate" in started.log_text()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"tls_key": "key"}, "there is a key for TLS and no certificate"),
        ({"tls_cert": "missing"}, "cannot use the certificate in "),
        ({"tls_cert": "certificate", "tls_key": "garbage"}, "cannot use the certificate in "),
        ({"tls_cert": "certificate", "tls_key": "other"}, "cannot use the certificate in "),
        ({"tls_cert": "certificate", "tls_key": "locked"}, "cannot use the certificate in "),
        ({"tls_ca": "garbage"}, "cannot use the certificates in "),
    ],
)
def test_files_that_are_not_what_they_should_be(tmp_path: Path, given: dict[str, str], told: str) -> None:
    certificates = Certificates(tmp_path)
    certificate, key = certificates.server
    (tmp_path / "garbage").write_text("garbage")
    lock = [
        "openssl",
        "pkey",
        "-aes256",
        "-passout",
        "pass:x",
        "-in",
        str(key),
        "-out",
        str(tmp_path / "locked"),
    ]
    subprocess.run(lock, check=True, capture_output=True)
    files: dict[str, Any] = {
        "key": key,
        "certificate": certificate,
        "other": certificates.issue("other")[1],
        **{name: tmp_path / name for name in ("garbage", "missing", "locked")},
    }
    with pytest.raises(FatalError) as error:
        Settings(**{option: files[name] for option, name in given.items()}).nats_options()
    assert error.value.message.startswith(told)
    assert error.value.hint


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nats://127.0.0.1:4222", []),
        ("nats://127.8.9.1", []),
        ("nats://[::1]:4222", []),
        ("nats://localhost:4222", []),
        ("localhost", []),
        ("tls://nats.example.org", []),
        ("nats://nats.example.org:4222", ["nats://nats.example.org:4222"]),
        ("nats.example.org", ["nats://nats.example.org"]),
        ("nats://me:secret@10.0.0.1", ["nats://10.0.0.1"]),
        ("nats://localhost.example.org", ["nats://localhost.example.org"]),
        ("nats://127.0.0.1.example.org", ["nats://127.0.0.1.example.org"]),
        ("nats://0.0.0.0:4222", ["nats://0.0.0.0:4222"]),
        ("ws://nats.example.org", ["ws://nats.example.org"]),
    ],
)
def test_what_goes_in_the_clear(url: str, said: list[str]) -> None:
    assert Settings(nats_urls=(url,)).cleartext_urls == said
    assert Settings(nats_urls=("nats://127.0.0.1", url)).cleartext_urls == said
    assert Settings(nats_urls=(url,), tls_ca=Path("ca.pem")).cleartext_urls == []


def test_log_and_check_warn_of_what_goes_in_the_clear(lab: Lab, authority: Database) -> None:
    server = lab.nats(secure=False)
    urls = f"{server.url},nats://nats.invalid:4222"
    dsn = authority.dsn(authority.relay)
    done = subprocess.run(
        [str(PROGRAM), "check", "--dsn", dsn, "--nats", urls],
        env=clean_environment(), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert "warn    TLS: everything goes unencrypted to nats://nats.invalid:4222" in done.stdout
    # open to everybody who reaches it is a fault where somebody can
    assert done.returncode == 1
    assert "FAILED  others' subjects: this NATS server lets everybody" in done.stdout
    lab.bridge(authority, urls).wait_for_log("everything goes unencrypted")
