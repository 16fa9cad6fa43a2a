"""Who has signed a message that a test carries by hand: the bridge's role is believed what it says of that."""

import base64
import hashlib
import re
from typing import Any

_INSTANCE = re.compile(r"\.(?:contribute|centralcloud\.\w+)\.([0-9a-f-]{36})$")


def key_of(name: str) -> str:
    """Return what could be the public key of somebody."""
    return "U" + base64.b32encode(hashlib.sha512(name.encode()).digest()).decode()[:55]


AUTHORITY_KEY = key_of("the authority")


def signer_of(subject: str) -> str:
    """Return the key of who sends on a subject: the instance that it names, else the authority."""
    named = _INSTANCE.search(subject)
    return key_of(named[1]) if named else AUTHORITY_KEY


def meta_of(subject: str, **more: Any) -> dict[str, Any]:
    """Return what a bridge tells of an authentic message."""
    return {"headers": {}, "signer": signer_of(subject), **more}


def inbox_of(subject: str) -> str:
    """Return a reply subject of who sends on a subject."""
    return f"singularity.inbox.{subject.rpartition('.')[2]}.test.1"
