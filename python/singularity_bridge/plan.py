"""The plan: what the database wants its bridge to do, read from the JSON of bridge_plan().

Unknown fields are ignored, so that a newer extension can serve an older bridge.
"""

from dataclasses import dataclass
from typing import Any

from singularity_bridge.errors import FatalError


@dataclass(frozen=True, slots=True)
class QueuePlan:
    """A queue of outgoing messages; up to `window` of them are under way at once."""

    name: str
    window: int


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """A JetStream stream: made and kept as described when `create` is set, else only inspected."""

    name: str
    subjects: tuple[str, ...]
    create: bool
    retention: str
    discard: str
    max_bytes: int
    max_messages_per_subject: int
    duplicate_window_s: float


@dataclass(frozen=True, slots=True)
class ConsumerPlan:
    """A durable pull consumer; `batch` messages at most are applied in one transaction."""

    stream: str
    durable: str
    batch: int
    ack_wait_s: float
    max_ack_pending: int


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """A NATS micro service; `endpoints` are pairs of name and subject.

    A request may take `timeout_s`; errors are told only to reply subjects that begin with `reply_prefix`.
    """

    name: str
    version: str
    description: str
    timeout_s: float
    endpoints: tuple[tuple[str, str], ...]
    reply_prefix: str


@dataclass(frozen=True, slots=True)
class NatsPlan:
    """The part of a plan that a NATS session is built from; it must be built anew when this changes."""

    client_name: str
    inbox_prefix: str
    queues: tuple[QueuePlan, ...]
    streams: tuple[StreamPlan, ...]
    consumers: tuple[ConsumerPlan, ...]
    service: ServicePlan | None


@dataclass(frozen=True, slots=True)
class Probes:
    """Subjects by which permissions are tried: what may be published, and what must not be."""

    may_publish: tuple[str, ...]
    must_not_publish: tuple[str, ...]
    must_not_subscribe: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All of it. While `speaking` is false the bridge holds no NATS connection.

    `signing_keys` changes when there are other keys to sign with.
    """

    extension: str
    version: str
    protocol: int
    revision: str
    bell: str
    poll_s: float
    tick_s: float
    speaking: bool
    subscriptions: frozenset[str]
    signing_keys: str
    nats: NatsPlan
    probes: Probes


def parse(document: dict[str, Any]) -> Plan:
    """Read a plan. Raises FatalError when it lacks something this bridge needs."""
    try:
        return Plan(
            extension=document["extension"],
            version=document["version"],
            protocol=document["protocol"],
            revision=document["revision"],
            bell=document["bell"],
            poll_s=document["poll_ms"] / 1000,
            tick_s=document["tick_ms"] / 1000,
            speaking=document["speaking"],
            subscriptions=frozenset(document.get("subscriptions") or ()),
            signing_keys=document.get("signing_keys") or "",
            nats=_nats(document),
            probes=_probes(document.get("probes") or {}),
        )
    except (KeyError, TypeError) as error:
        raise FatalError(
            f"the database's plan cannot be understood: {error!r}",
            "Install a bridge and an extension of the same version.",
        ) from error


def _nats(document: dict[str, Any]) -> NatsPlan:
    service = document.get("service")
    return NatsPlan(
        client_name=document["client_name"],
        inbox_prefix=document["inbox_prefix"],
        queues=tuple(
            QueuePlan(queue["name"], queue["window"])
            # an extension before 0.3 calls them lanes
            for queue in document.get("queues") or document.get("lanes") or ()
        ),
        streams=tuple(_stream(stream) for stream in document.get("streams") or ()),
        consumers=tuple(_consumer(consumer) for consumer in document.get("consumers") or ()),
        service=_service(service) if service else None,
    )


def _probes(document: dict[str, Any]) -> Probes:
    return Probes(
        may_publish=tuple(document.get("may_publish") or ()),
        must_not_publish=tuple(document.get("must_not_publish") or ()),
        must_not_subscribe=tuple(document.get("must_not_subscribe") or ()),
    )


def _stream(document: dict[str, Any]) -> StreamPlan:
    return StreamPlan(
        name=document["name"],
        subjects=tuple(document.get("subjects") or ()),
        create=document["create"],
        retention=document.get("retention", "limits"),
        discard=document.get("discard", "old"),
        max_bytes=document.get("max_bytes", -1),
        max_messages_per_subject=document.get("max_messages_per_subject", -1),
        duplicate_window_s=document.get("duplicate_window_s", 120),
    )


def _consumer(document: dict[str, Any]) -> ConsumerPlan:
    return ConsumerPlan(
        stream=document["stream"],
        durable=document["durable"],
        batch=document["batch"],
        ack_wait_s=document["ack_wait_s"],
        max_ack_pending=document["max_ack_pending"],
    )


def _service(document: dict[str, Any]) -> ServicePlan:
    return ServicePlan(
        name=document["name"],
        version=document["version"],
        description=document.get("description") or "",
        timeout_s=document.get("timeout_ms", 10_000) / 1000,
        endpoints=tuple((endpoint["name"], endpoint["subject"]) for endpoint in document["endpoints"]),
        reply_prefix=document.get("reply_prefix") or "",
    )
