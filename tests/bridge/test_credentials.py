"""Credentials, TLS and permissions: every way to log in works, and what is not permitted is said."""

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import nkeys
import pytest
from nkeys import KeyPair
from tests.bridge.stand_in import StandIn, events, log_lines

from singularity_lab import Lab, NatsServer

NARROW = """authorization { users: [ { user: me, password: pw, permissions: {
    publish: { deny: ["secret.>"] }, subscribe: { deny: ["secret.>"] } } } ] }"""
CREDENTIALS = """-----BEGIN NATS USER JWT-----
{jwt}
------END NATS USER JWT------

-----BEGIN USER NKEY SEED-----
{seed}
------END USER NKEY SEED------
"""


def key(prefix: int) -> tuple[KeyPair, str]:
    """Make a key pair; returns it and its seed."""
    seed = bytes(nkeys.encode_seed(os.urandom(32), prefix))
    return nkeys.from_seed(bytearray(seed)), seed.decode()


def jwt(issuer: KeyPair, subject: KeyPair, **claims: Any) -> str:
    """Return a token in which the issuer says something of the subject."""
    body = {
        "iat": int(time.time()),
        "iss": issuer.public_key.decode(),
        "sub": subject.public_key.decode(),
        "name": "test",
        "nats": {"version": 2, **claims},
    }
    parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, body]
    text = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    return (text + b"." + base64.urlsafe_b64encode(bytes(issuer.sign(text))).rstrip(b"=")).decode()


def server_with_accounts(lab: Lab, account_limits: dict[str, Any]) -> tuple[NatsServer, str]:
    """Start a server that knows one account by its JWT; returns it and a user's credentials."""
    (operator, _), (account, _), (user, seed) = (
        key(prefix)
        for prefix in (nkeys.PREFIX_BYTE_OPERATOR, nkeys.PREFIX_BYTE_ACCOUNT, nkeys.PREFIX_BYTE_USER)
    )
    account_jwt = jwt(operator, account, type="account", limits=account_limits)
    user_jwt = jwt(account, user, type="user", subs=-1, data=-1, payload=-1, pub={}, sub={})
    server = lab.nats(
        "accounts",
        secure=False,
        configuration=f"jetstream: false\noperator: {jwt(operator, operator, type='operator')}\n"
        f"resolver: MEMORY\nresolver_preload: {{ {account.public_key.decode()}: {account_jwt} }}\n",
    )
    return server, CREDENTIALS.format(jwt=user_jwt, seed=seed)


@pytest.fixture
def secured(lab: Lab, tmp_path: Path) -> tuple[NatsServer, Path]:
    """Start a server that speaks TLS only; returns it and its certificate."""
    certificate, private_key = tmp_path / "cert.pem", tmp_path / "key.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "1"]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject]
    files = ["-keyout", str(private_key), "-out", str(certificate)]
    subprocess.run([*command, *files], check=True, capture_output=True)
    tls = f'tls {{ cert_file: "{certificate}", key_file: "{private_key}" }}'
    return lab.nats("secured", secure=False, configuration=tls), certificate


def test_a_credentials_file(stand_in: StandIn, tmp_path: Path) -> None:
    limits = {"subs": -1, "conn": -1, "leaf": -1, "imports": -1, "exports": -1, "data": -1, "payload": -1}
    server, credentials = server_with_accounts(stand_in.lab, {**limits, "wildcards": True})
    file = tmp_path / "bridge.creds"
    file.write_text(credentials)
    stand_in.start("--creds", str(file), url=server.url)
    assert stand_in.result(stand_in.send("publish", "news.a", b"x"))["ok"]


def test_an_nkey(stand_in: StandIn, tmp_path: Path) -> None:
    pair, seed = key(nkeys.PREFIX_BYTE_USER)
    users = f"authorization {{ users: [ {{ nkey: {pair.public_key.decode()} }} ] }}"
    file = tmp_path / "bridge.nk"
    file.write_text(seed + "\n")
    server = stand_in.lab.nats("nkeys", secure=False, configuration=users)
    stand_in.start("--nkey", str(file), url=server.url)
    assert stand_in.result(stand_in.send("publish", "news.a", b"x"))["ok"]


def test_tls(stand_in: StandIn, secured: tuple[NatsServer, Path]) -> None:
    server, certificate = secured
    url = server.url.replace("nats://", "tls://")
    stand_in.start("--tls-ca", str(certificate), url=url)
    assert stand_in.result(stand_in.send("publish", "news.a", b"x"))["ok"]


def test_a_certificate_that_nobody_vouches_for(stand_in: StandIn, secured: tuple[NatsServer, Path]) -> None:
    bridge = stand_in.lab.start(stand_in.bridge(url=secured[0].url.replace("nats://", "tls://")))
    bridge.wait_for_log("waiting for NATS")
    assert "certificate" in bridge.log_text()


def test_tls_that_is_asked_for_is_not_done_without(stand_in: StandIn) -> None:
    bridge = stand_in.lab.start(stand_in.bridge(url=stand_in.nats.url.replace("nats://", "tls://")))
    bridge.wait_for_log("waiting for NATS")
    (line,) = [line for line in log_lines(bridge) if line["event"] == "waiting for NATS"]
    assert "secure connection not available" in line["reason"]


def test_what_is_not_permitted_is_reported_at_once(stand_in: StandIn) -> None:
    server = stand_in.lab.nats("narrow", secure=False, configuration=NARROW)
    stand_in.plan(subscriptions=["secret.a", "news.a"])
    bridge = stand_in.start(url=server.url.replace("//", "//me:pw@"))
    result = stand_in.result(stand_in.send("request", "secret.a", b"?", timeout_ms=60_000), 5)
    assert result == {"ok": False, "error": 'permissions violation for publish to "secret.a"'}
    complaints = [line["error"] for line in log_lines(bridge) if line["event"] == "the NATS server complains"]
    assert any('subscription to "secret.a"' in complaint for complaint in complaints)
    assert "lost NATS" not in events(bridge)
    assert stand_in.result(stand_in.send("publish", "news.a", b"x"))["ok"]
    stand_in.wait_received(1)
    assert ":pw@" not in bridge.log_text()
