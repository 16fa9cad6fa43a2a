"""What a group may read and contribute in a namespace holds on every way to the authority and back."""

import hashlib
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb
from tests.kit.identity import artifact_id
from tests.kit.message import Message
from tests.kit.queries import refused, rows, value
from tests.kit.relay import Relay
from tests.kit.speaker import Speaker, request, speakers, verdicts

SECRET = "zebra-plan"
GRANT = "select centralcloud.grant_access(%s, %s, %s, %s)"


@pytest.fixture
def relay(authority: Any) -> Any:
    relay = Relay.of(authority)
    yield relay
    relay.close()


@pytest.fixture
def grant(authority_db: psycopg.Connection) -> Callable[..., None]:
    """Say what an instance, which is a group of its own, may do."""

    def say(who: Speaker, namespace: str, may_read: bool = True, may_contribute: bool = True) -> None:
        authority_db.execute(GRANT, [str(who.id), namespace, may_read, may_contribute])

    return say


def publish(relay: Relay, author: Speaker, *namespaces: str) -> list[Message]:
    """Have an artifact in each of some namespaces, published; returns what was pushed."""
    for namespace in namespaces:
        relay.give([
            author.says(
                author.holds(f"the zebra of {namespace}", name=SECRET, kind="plan", namespace=namespace),
                author.used(9, content=f"the zebra of {namespace}", name=SECRET, kind="plan", namespace=namespace),
            )
        ])  # fmt: skip
    return relay.take("refined")


def digest(relay: Relay, who: Speaker, topic: str, **fields: Any) -> Any:
    """Compare a range of copies, by its digest or by the revisions in `states`."""
    given_range = {"topic": topic, "prefix": "", "entries": 0, "digest": "", **fields}
    return request(relay, who.asks("digest", ranges=[given_range]))["ranges"][0]


def everything_said_to(relay: Relay, who: Speaker, namespaces: list[str]) -> str:
    """Ask for all there is, on every way that there is, and return the replies as text."""
    ids = {name: str(artifact_id(name, "plan", SECRET)) for name in namespaces}
    replies = [
        request(relay, who.asks("hello", incarnation=str(who.id), extension_version="0")),
        request(relay, who.asks("ask", query="zebra")),
        *(request(relay, who.asks("ask", query="zebra", namespace=name)) for name in namespaces),
        *(
            request(relay, who.asks("ask", query=SECRET, namespace=name, kind="plan", name=SECRET))
            for name in namespaces
        ),
        *(request(relay, who.asks("changes", namespace=name, kind="plan", after=0)) for name in namespaces),
        *(digest(relay, who, f"{name}/plan") for name in namespaces),
        # ids of everything, whatever the topic that they are asked for in
        *(
            digest(relay, who, f"{name}/plan", states=[[one, 1 << 40] for one in ids.values()])
            for name in [*namespaces, "nowhere"]
        ),
    ]
    for reply in replies:
        for asked_for in ("unknown", "topic", "namespace"):
            reply.pop(asked_for, None)
    return str(replies)


def test_what_may_not_be_read_is_said_on_no_way(relay: Relay, grant: Callable[..., None]) -> None:
    author, outsider = speakers(2)
    publish(relay, author, "open", "secret")
    grant(outsider, "open")
    said = everything_said_to(relay, outsider, ["open", "secret"])
    assert "the zebra of open" in said
    assert "secret" not in said, said[max(0, said.index("secret") - 300) :][:400]
    assert "the zebra of secret" in everything_said_to(relay, author, ["open", "secret"])


def test_what_may_not_be_read_is_like_what_is_not_there(relay: Relay, grant: Callable[..., None]) -> None:
    author, outsider = speakers(2)
    publish(relay, author, "open", "secret")
    grant(outsider, "open")
    there, absent = (
        [
            request(relay, outsider.asks("ask", query=SECRET, namespace=name, kind="plan", name=SECRET)),
            request(relay, outsider.asks("changes", namespace=name, kind="plan", after=0)),
            digest(relay, outsider, f"{name}/plan"),
            digest(relay, outsider, f"{name}/plan", states=[[str(artifact_id(name, "plan", SECRET)), 1]]),
        ]
        for name in ("secret", "absent")
    )
    swapped = str(there).replace("secret", "absent")
    swapped = swapped.replace(
        str(artifact_id("secret", "plan", SECRET)), str(artifact_id("absent", "plan", SECRET))
    )
    assert swapped == str(absent)


def test_a_search_is_filtered_before_it_is_ranked(relay: Relay, grant: Callable[..., None]) -> None:
    author, outsider = speakers(2)
    crowd = [author.holds(f"zebra zebra zebra {n}", name=f"zebra-{n}", namespace="secret") for n in range(60)]
    relay.give([author.says(*crowd)])
    publish(relay, author, "open")
    grant(outsider, "open")
    (found,) = request(relay, outsider.asks("ask", query="zebra"))["rows"]
    assert found["namespace"] == "open"


def test_words_that_look_like_another_namespace_let_nothing_out(
    relay: Relay, grant: Callable[..., None]
) -> None:
    author, outsider = speakers(2)
    trick = "zebra /namespace/open '/namespace/open' /namespace/open/"
    relay.give([author.says(author.holds(trick, name="zebra", namespace="secret", tags=["/namespace/open"]))])
    grant(outsider, "open")
    assert request(relay, outsider.asks("ask", query="zebra"))["rows"] == []


def test_what_may_not_be_contributed_is_refused_with_a_reason(
    relay: Relay, authority_db: psycopg.Connection, grant: Callable[..., None]
) -> None:
    (ann,) = speakers(1)
    grant(ann, "open")
    grant(ann, "read", may_contribute=False)
    receipts = relay.give([
        ann.says(*(ann.holds(namespace=name) for name in ("open", "read", "other")), ann.used(1, namespace="read"))
    ])  # fmt: skip
    said = verdicts(receipts)
    assert [(version, verdict) for version, verdict, _ in said] == [
        (1, "stored"), (2, "refused"), (3, "refused"), (4, "refused"),
    ]  # fmt: skip
    assert [reason for *_, reason in said[1:]] == [
        f"this instance may not contribute to the namespace {name}" for name in ("read", "other", "read")
    ]
    assert rows(authority_db, "select namespace from centralcloud.artifact") == [{"namespace": "open"}]


def test_what_was_given_may_be_taken_back(
    relay: Relay, authority_db: psycopg.Connection, grant: Callable[..., None]
) -> None:
    (ann,) = speakers(1)
    relay.give([ann.says(ann.holds(namespace="left"))])
    grant(ann, "left", may_contribute=False)
    receipts = relay.give([
        ann.says(ann.holds("later", namespace="left")), ann.says(ann.withdraws(namespace="left")),
        ann.says(ann.withdraws(namespace="left", name="never given")),
    ])  # fmt: skip
    assert [verdict for _, verdict, _ in verdicts(receipts)] == ["refused", "stored", "refused"]
    assert value(authority_db, "select count(*) from centralcloud.artifact") == 1
    assert value(authority_db, "select count(content) from centralcloud.variant") == 0


def test_who_may_only_contribute_hears_no_heads(relay: Relay, grant: Callable[..., None]) -> None:
    author, writer = speakers(2)
    publish(relay, author, "drop")
    grant(writer, "drop", may_read=False)
    (receipt,) = relay.give([writer.says(writer.holds(namespace="drop", kind="plan"))])
    assert verdicts([receipt])[0][1] == "stored"
    assert receipt.body["heads"] == {}
    hello = writer.asks("hello", incarnation=str(writer.id), extension_version="0")
    assert request(relay, hello)["heads"] == {}


@pytest.mark.parametrize("default", ["all", "none"])
def test_a_group_of_which_nothing_is_said(
    relay: Relay, authority_db: psycopg.Connection, default: str
) -> None:
    author, newcomer = speakers(2)
    publish(relay, author, "open")
    authority_db.execute("select centralcloud.configure(%s)", [Jsonb({"default_access": default})])
    said = everything_said_to(relay, newcomer, ["open"])
    assert ("zebra of open" in said) is (default == "all")
    (verdict,) = verdicts(relay.give([newcomer.says(newcomer.holds(namespace="open"))]))
    assert verdict[1] == {"all": "stored", "none": "refused"}[default]


def test_what_is_granted_later_is_fetched_and_what_is_taken_back_is_not(
    relay: Relay, authority_db: psycopg.Connection, grant: Callable[..., None]
) -> None:
    author, reader = speakers(2)
    publish(relay, author, "late")
    page = reader.asks("changes", namespace="late", kind="plan", after=0)
    grant(reader, "late")
    assert len(request(relay, page)["rows"]) == 1
    grant(reader, "late", may_read=False)
    assert request(relay, page)["rows"] == []
    assert value(authority_db, "select centralcloud.revoke_access(%s, 'late')", str(reader.id))
    assert len(request(relay, page)["rows"]) == 1


TOKENS = st.text("ab-", min_size=1, max_size=3)
PATTERNS = st.one_of(TOKENS, TOKENS.map(lambda token: token + "*"), st.just("*"))


def expected(said: dict[str, bool], namespace: str) -> bool:
    """Return what the most specific pattern says."""
    fitting = [
        pattern
        for pattern in said
        if pattern == namespace or (pattern.endswith("*") and namespace.startswith(pattern[:-1]))
    ]
    return bool(fitting) and said[max(fitting, key=lambda pattern: (pattern == namespace, len(pattern)))]


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    said=st.dictionaries(PATTERNS, st.booleans(), min_size=1, max_size=5), names=st.sets(TOKENS, min_size=1)
)
def test_the_most_specific_row_counts_everywhere(
    authority_db: psycopg.Connection,
    authority_superuser: psycopg.Connection,
    said: dict[str, bool],
    names: set[str],
) -> None:
    group = "00000000-0000-0000-0000-0000000000" + hashlib.sha256(str(said).encode()).hexdigest()[:2]
    authority_superuser.execute("delete from centralcloud.access")
    for pattern, allowed in said.items():
        authority_db.execute(GRANT, [group, pattern, allowed, not allowed])
    query = """
        select n as namespace, centralcloud.may_read(%(group)s, n) as asked,
            not (select a.may_contribute from centralcloud.access_of(%(group)s, array[n]) as a) as opposite,
            array_to_tsvector(array['/namespace/' || n]) @@ centralcloud.readable_documents(%(group)s) as searched
        from unnest(%(names)s::text[]) as n
    """
    with authority_superuser.cursor() as cursor:
        for namespace, asked, opposite, searched in cursor.execute(
            query, {"group": group, "names": sorted(names)}
        ):
            assert asked == searched == expected(said, namespace), namespace
            fits = any(expected({pattern: True}, namespace) for pattern in said)
            assert opposite == (asked if fits else True)


@pytest.mark.parametrize(
    "namespace", ["", "A", "a.b", "a b", "*a", "a**", "a*b", ">", "a\n", "a" * 65, "ä", "'", None]
)
def test_a_namespace_that_is_none(authority_db: psycopg.Connection, namespace: str | None) -> None:
    with refused("22023", "namespace"):
        authority_db.execute(GRANT, ["g", namespace, True, True])


def test_only_a_curator_says_who_may_what(authority: Any) -> None:
    for user in (authority.viewer, authority.relay, authority.stranger):
        with authority.connect(user) as connection:
            for call in (
                "grant_access('g', 'n')", "revoke_access('g', 'n')", "nats_permissions()",
                "set_credential(gen_random_uuid(), 'U')",
            ):  # fmt: skip
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    connection.execute(f"select centralcloud.{call}".encode())
