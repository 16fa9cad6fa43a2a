"""The ids of artifacts and variants, computed without the database."""

import hashlib
import json
from typing import Any
from uuid import UUID


def artifact_id(namespace: str, kind: str, name: str) -> UUID:
    """Return a UUID of version 8 from a sha-256 over the length-prefixed parts (RFC 9562, section 5.8)."""
    parts = [part.encode() for part in (namespace, kind, name)]
    hashed = hashlib.sha256(b"".join(len(part).to_bytes(4, "big") + part for part in parts)).digest()
    number = int.from_bytes(hashed[:16], "big")
    number &= ~(0xF << 76) & ~(0x3 << 62)
    return UUID(int=number | 8 << 76 | 2 << 62)


def variant_of(content: Any) -> str:
    """Return the variant of a content: a scalar, or an object with one key (jsonb would sort more)."""
    return variant_of_text(json.dumps(content, ensure_ascii=False))


def variant_of_text(text: str) -> str:
    """Return the variant of a content, given as the text of its jsonb."""
    return hashlib.sha256(text.encode()).hexdigest()
