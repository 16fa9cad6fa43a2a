"""Connection strings as users write them: understood here or refused, and shown without passwords.

What is not understood is never repeated, not even in part: where a password is not quoted as it must be, libpq and
nats-py take pieces of it for hosts, ports and options, and print them.
"""

import re
from collections.abc import Sequence
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

from singularity_bridge.errors import FatalError

_DSN_MEND = (
    "In a URI write special characters of the password as %XX, in key=value form put it in single quotes; "
    "or keep it in PGPASSWORD or ~/.pgpass."
)
_URL_MEND = (
    "Check --nats (NATS_URL): a password has none of / ? # [ ] and no comma; or use --creds or --nkey."
)
_SERVER = re.compile(r"([\w.-]+|\[[0-9A-Fa-f:.]+\])(:\d{1,5})?/?")


def parse_dsn(dsn: str) -> dict[str, object]:
    """Return the options in a connection string of libpq.

    Raises FatalError when it is none, or when a part of the password may be in the wrong place.
    """
    try:
        options = conninfo_to_dict(dsn)
    except (psycopg.ProgrammingError, UnicodeDecodeError):
        raise FatalError("the dsn is not a connection string", _DSN_MEND) from None
    authority, _, rest = dsn.partition("://")[2].partition("/")
    ports = str(options.get("port", "")).split(",")
    # libpq ends the password at the first @, and where a / comes before it there is none
    if authority.count("@") + rest.count("@") > 1 or "@" in rest.partition("?")[0]:
        raise FatalError("the dsn has an @ in the wrong place", _DSN_MEND)
    if not all(re.fullmatch(r"\s*\d*\s*", port) for port in ports):
        raise FatalError("a port in the dsn is no number", _DSN_MEND)
    return dict(options)


def check_nats_urls(urls: Sequence[str]) -> None:
    """Raise FatalError unless each is the URL of a NATS server; which it is is told by its place."""
    for place, url in enumerate(urls, 1):
        scheme, separator, rest = url.rpartition("://")
        user, at, server = rest.rpartition("@")
        try:
            parts = urlsplit(url if separator else f"nats://{url}")
            right = bool(parts.hostname) and parts.port != 0
        except ValueError:
            right = False
        right = (
            right and re.fullmatch(r"[a-z]*", scheme) is not None and _SERVER.fullmatch(server) is not None
        )
        # what follows a comma in a password looks like one more server
        if not right or re.search(r"[/?#\[\]\\\s]", user) or (at and place > 1 and not separator):
            raise FatalError(f"URL {place} of the NATS servers cannot be understood", _URL_MEND) from None


def without_password(url: str) -> str:
    """Return a NATS url for logs and messages: host and port only."""
    scheme = match[1] if (match := re.match(r"([a-z]{1,10})://", url)) else "nats"
    server = _SERVER.match(url.rpartition("@")[2].rpartition("://")[2])
    return f"{scheme}://{server[0].rstrip('/') if server else '…'}"
