"""The ids of artifacts and variants, computed without the database."""

import hashlib
from uuid import UUID


def artifact_id(namespace: str, kind: str, name: str) -> UUID:
    """Return a UUID of version 8 from a sha-256 over the length-prefixed parts (RFC 9562, section 5.8)."""
    parts = [part.encode() for part in (namespace, kind, name)]
    hashed = hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
    number = int.from_bytes(hashed[:16], "big")
    number &= ~(0xF << 76) & ~(0x3 << 62)
    return UUID(int=number | 8 << 76 | 2 << 62)


def variant_of(content: str) -> str:
    """Return the variant of a content, given as the text of its jsonb."""
    return hashlib.sha256(content.encode()).hexdigest()
