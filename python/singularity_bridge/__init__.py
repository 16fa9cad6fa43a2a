"""The relay between one PostgreSQL database and NATS.

It knows topics, bytes and acknowledgements and nothing of what they mean: the database says which streams to
have, what to consume, which requests to serve, and gives the subject, id, headers and bytes of all it sends.
"""

from importlib import metadata

PROTOCOL = 1
"""Number of the contract spoken with the database; the database refuses numbers it does not know."""

try:
    VERSION = metadata.version("singularity")
except metadata.PackageNotFoundError:
    VERSION = "0.0.0"
