"""Who may speak on a throwaway NATS server: nkeys and certificates made on the spot, permissions from the authority."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import nkeys
import psycopg
import trustme
from psycopg.types.json import Jsonb

if TYPE_CHECKING:
    from singularity_lab.lab import Database
    from singularity_lab.nats_server import NatsServer


@dataclass(frozen=True)
class Credential:
    """A NATS user: the file with its seed, and its public key."""

    seed: Path
    public_key: str


def make_credential(file: Path) -> Credential:
    """Make a NATS user and write its seed to a file."""
    seed = bytes(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(seed)
    file.chmod(0o600)
    return Credential(file, nkeys.from_seed(bytearray(seed)).public_key.decode())


class Certificates:
    """A certificate authority of a server's own: what the server shows for 127.0.0.1, and what clients may show."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._authority = trustme.CA()
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = folder / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.authority))
        self.server = self.issue("127.0.0.1")

    def issue(self, name: str) -> tuple[Path, Path]:
        """Make a certificate for a name; returns its file and that of its key."""
        issued = self._authority.issue_cert(name)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(str(key))
        return certificate, key


class Registry:
    """Admits databases to a secured NATS server, as a curator does: the authority knows who has which key."""

    def __init__(self, nats: "NatsServer") -> None:
        self._nats = nats
        self._authority: Database | None = None
        self._admitted: dict[str, Credential] = {}

    def admit(self, database: "Database") -> Credential:
        """Give a database a NATS user, the authority first; a copy of an instance has the user of that instance."""
        speaker = _speaker(database)
        if speaker not in self._admitted:
            credential = make_credential(self._nats.folder / "keys" / f"{speaker}.nk")
            self._register(database, speaker, credential)
            self._admitted[speaker] = credential
        return self._admitted[speaker]

    def refresh(self) -> None:
        """Load the permissions into the server as the authority has them now."""
        operator = self._nats.operator.public_key if self._nats.operator else None
        with self._registry().connect_superuser() as connection:
            permissions = "select centralcloud.nats_permissions(%s)"
            self._nats.authorization = _value(connection, permissions, operator)
        self._nats.reload()

    def _register(self, database: "Database", speaker: str, credential: Credential) -> None:
        if database.extension == "centralcloud":
            self._authority = database
        with self._registry().connect_superuser() as connection:
            if database.extension == "centralcloud":
                setting = Jsonb({"credential": credential.public_key})
                _value(connection, "select centralcloud.configure(%s)", setting)
            else:
                given = "select centralcloud.set_credential(%s, %s)"
                _value(connection, given, speaker, credential.public_key)
        self.refresh()

    def _registry(self) -> "Database":
        if self._authority is None:
            raise RuntimeError("a secured NATS server lets nobody in before the authority's bridge")
        return self._authority


def _speaker(database: "Database") -> str:
    """Return the instance that a database speaks for, or `centralcloud`."""
    if database.extension == "centralcloud":
        return "centralcloud"
    with database.connect_superuser() as connection:
        return str(_value(connection, "select instance_id from singularity.status()"))


def _value(connection: psycopg.Connection, query: str, *arguments: object) -> Any:
    row = connection.execute(query.encode(), arguments).fetchone()
    return row[0] if row else None
