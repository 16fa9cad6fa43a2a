"""Signatures: what a bridge sends is signed with its database's key, and what it receives is verified.

Keys are ed25519, written as nkeys. Signed are the subject, the message id, the reply subject and the payload, each
with its length before it, so that no two messages have the same bytes. What a signer may say the database decides.
"""

import base64
import functools
from collections.abc import Mapping, Sequence

import nkeys
from nacl.exceptions import CryptoError
from nacl.signing import VerifyKey
from nats.aio.msg import Msg

KEY_HEADER = "Singularity-Key"
SIGNATURE_HEADER = "Singularity-Signature"
MESSAGE_ID_HEADER = "Nats-Msg-Id"

_PURPOSE = b"singularity message 1"  # a signature for this is none for anything else


class ForgedError(Exception):
    """A message whose signature is not that of the key it names."""


class Keyring:
    """The keys of a database, and a count of the forged messages that were dropped and not yet reported.

    The first key signs unless a message names another; without any key nothing is signed.
    """

    def __init__(self) -> None:
        self.forged = 0
        self._pairs: dict[str, nkeys.KeyPair] = {}
        self._public_keys: dict[int, str] = {}

    def take(self, seeds: Sequence[tuple[int, bytes]]) -> None:
        """Use these keys from now on, given as number and seed."""
        self._pairs, self._public_keys = {}, {}
        for number, seed in seeds:
            pair = nkeys.from_seed(bytearray(nkeys.encode_seed(seed, nkeys.PREFIX_BYTE_USER)))
            public_key = pair.public_key.decode()
            self._pairs[public_key], self._public_keys[number] = pair, public_key

    @property
    def public_keys(self) -> dict[str, str]:
        """The public keys by number."""
        return {str(number): public_key for number, public_key in self._public_keys.items()}

    def sign(
        self, subject: str, payload: bytes, headers: Mapping[str, str] | None, reply: str = ""
    ) -> dict[str, str]:
        """Return the headers with a signature, by the key that they name or by the first one."""
        signed = dict(headers or {})
        public_key = signed.pop(KEY_HEADER, "") or next(iter(self._pairs), "")
        if pair := self._pairs.get(public_key):
            signature = pair.sign(_signed_bytes(subject, payload, signed, reply))
            signed |= {KEY_HEADER: public_key, SIGNATURE_HEADER: base64.b64encode(signature).decode()}
        return signed

    def signer(self, msg: Msg) -> str | None:
        """Return the public key that has signed a message, None when it is not signed.

        Raises ForgedError, counted here, when the signature is broken.
        """
        headers = msg.headers or {}
        if KEY_HEADER not in headers and SIGNATURE_HEADER not in headers:
            return None
        public_key = headers.get(KEY_HEADER, "")
        try:
            signature = base64.b64decode(headers.get(SIGNATURE_HEADER, ""), validate=True)
            message = _signed_bytes(msg.subject, msg.data, headers, msg.reply)
            _verifier(public_key).verify(message, signature)
        except (CryptoError, ValueError, TypeError) as error:
            self.forged += 1
            raise ForgedError(f"a message on {msg.subject} is not signed by {public_key}") from error
        return public_key


def _signed_bytes(subject: str, payload: bytes, headers: Mapping[str, str], reply: str) -> bytes:
    message_id = headers.get(MESSAGE_ID_HEADER, "")
    # What goes through a stream has a message id, and comes out of it with another reply subject.
    parts = (
        _PURPOSE,
        subject.encode(errors="replace"),
        message_id.encode(errors="replace"),
        b"" if message_id else reply.encode(errors="replace"),
        payload,
    )
    return b"".join(part for each in parts for part in (len(each).to_bytes(8, "big"), each))


@functools.lru_cache(maxsize=4096)
def _verifier(public_key: str) -> VerifyKey:
    """Return the verifier of an nkey. Raises ValueError for what is none."""
    raw = base64.b32decode(public_key.encode())
    checksum = int.from_bytes(raw[33:], "little")
    if len(raw) != 35 or raw[0] != nkeys.PREFIX_BYTE_USER or nkeys.crc16(raw[:33]) != checksum:
        raise ValueError(f"{public_key!r} is not an nkey")
    return VerifyKey(raw[1:33])
