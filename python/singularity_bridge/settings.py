"""What the user sets, and what is made of it: connection options for libpq and for nats-py."""

import os
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nkeys
from psycopg.conninfo import make_conninfo

from singularity_bridge.addresses import check_nats_urls, parse_dsn, without_password
from singularity_bridge.errors import FatalError

DEFAULT_NATS_URL = "nats://127.0.0.1:4222"

# A half-open connection is noticed within these seconds, instead of after libpq's and the kernel's hours.
_DATABASE_DEFAULTS = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
    "application_name": "singularity-bridge",
}
_OVERRIDING_VARIABLES = {"connect_timeout": "PGCONNECT_TIMEOUT", "application_name": "PGAPPNAME"}


@dataclass(frozen=True, slots=True)
class Settings:
    """The options of one bridge, as the command line and the environment give them."""

    dsn: str = ""
    nats_urls: tuple[str, ...] = (DEFAULT_NATS_URL,)
    creds: Path | None = None
    nkey: Path | None = None
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    extension: str | None = None

    def conninfo(self) -> str:
        """Return libpq's connection string: the dsn, with timeouts where the user set none.

        Raises FatalError when the dsn cannot be understood.
        """
        given = parse_dsn(self.dsn)
        defaults = {
            key: value
            for key, value in _DATABASE_DEFAULTS.items()
            if key not in given and _OVERRIDING_VARIABLES.get(key, "") not in os.environ
        }
        return make_conninfo(self.dsn, **defaults)

    def nats_options(self) -> dict[str, Any]:
        """Return the arguments of nats-py's connect that concern servers, credentials and TLS.

        Raises FatalError when a URL cannot be understood, or a file cannot be read or does not hold what it should.
        """
        check_nats_urls(self.nats_urls)
        options: dict[str, Any] = {"servers": list(self.nats_urls), "tls": self._tls_context()}
        if self.creds:
            _check_creds(self.creds)
            options["user_credentials"] = str(self.creds)
        if self.nkey:
            _check_seed(_read(self.nkey), self.nkey)
            options["nkeys_seed"] = str(self.nkey)
        return options

    @property
    def demands_tls(self) -> bool:
        """Tell whether a connection without TLS must be refused."""
        files = (self.tls_ca, self.tls_cert, self.tls_key)
        return any(files) or any(url.startswith("tls://") for url in self.nats_urls)

    @property
    def remote_urls(self) -> list[str]:
        """The servers that are not on this machine, for people."""
        return [without_password(url) for url in self.nats_urls if not _is_loopback(url)]

    @property
    def cleartext_urls(self) -> list[str]:
        """The servers beyond this machine to which everything may go unencrypted, for people."""
        return [] if self.demands_tls else self.remote_urls

    def _tls_context(self) -> ssl.SSLContext:
        try:
            context = ssl.create_default_context(cafile=self.tls_ca)
        except (OSError, ssl.SSLError) as error:
            raise FatalError(
                f"cannot use the certificates in {self.tls_ca}: {error}", "Check --tls-ca."
            ) from error
        if self.tls_key and not self.tls_cert:
            raise FatalError("there is a key for TLS and no certificate", "Pass --tls-cert (NATS_CERT) too.")
        if self.tls_cert:
            try:
                # without a password, or OpenSSL asks the terminal for it
                context.load_cert_chain(self.tls_cert, self.tls_key, password="")
            except (OSError, ssl.SSLError) as error:
                raise FatalError(
                    f"cannot use the certificate in {self.tls_cert}: {error}",
                    "Check --tls-cert and --tls-key: both in PEM, the key without a password.",
                ) from error
        return context


def _is_loopback(url: str) -> bool:
    host = urlsplit(url if "://" in url else f"nats://{url}").hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_creds(path: Path) -> None:
    """Refuse a broken credentials file here: nats-py would read it for ever, in search of its markers."""
    text = _read(path)
    seed = text.partition("BEGIN USER NKEY SEED")[2].partition("\n")[2].partition("\n")[0]
    if "BEGIN NATS USER JWT" not in text or not seed:
        raise FatalError(f"{path} is not a NATS credentials file", "Check --creds (NATS_CREDS).")
    _check_seed(seed, path)


def _check_seed(seed: str, path: Path) -> None:
    try:
        nkeys.from_seed(bytearray(seed.strip().encode())).wipe()
    except Exception as error:
        raise FatalError(f"{path} holds no valid nkey seed", "Check --creds or --nkey.") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FatalError(f"cannot read {path}: {error}", "Check --creds (NATS_CREDS) or --nkey.") from error
