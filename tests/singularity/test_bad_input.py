"""Bad input gets a clear error, and nothing is half-done."""

import json
import uuid

import psycopg
import pytest
from tests.kit.queries import refused, value

KEYS = [
    ("learn('Pattern', 'x', '1')", "22023", "kind 'Pattern' is not valid"),
    ("learn('', 'x', '1')", "22023", "kind '' is not valid"),
    (f"learn('{'k' * 65}', 'x', '1')", "22023", "is not valid"),
    ("learn('k', 'x', '1', namespace => 'a.b')", "22023", "namespace 'a.b' is not valid"),
    ("learn('k', 'x', '1', namespace => '*')", "22023", "namespace '*' is not valid"),
    ("learn(null, 'x', '1')", "22004", "kind must not be null"),
    ("learn('k', null, '1')", "22004", "name must not be null"),
    ("learn('k', '', '1')", "22023", "has 0 bytes"),
    ("learn('k', repeat('ä', 257), '1')", "22023", "has 514 bytes"),
    ("learn('k', ' x', '1')", "22023", "control characters or outer blanks"),
    ("learn('k', E'a\\nb', '1')", "22023", "control characters or outer blanks"),
    ("learn('k', 'x', null)", "22004", "content must not be null"),
    ("learn('k', 'x', 'null')", "22004", "content must not be null"),
    (
        "learn('k', 'x', to_jsonb(repeat('x', 262143)))",
        "54000",
        "content has 262145 bytes, the limit is 262144",
    ),
    ("learn('k', 'x', '1', repeat('x', 4097))", "54000", "summary has 4097 bytes, the limit is 4096"),
    ("learn('k', 'x', '1', tags => array[''])", "22023", "tag '' is not valid"),
    ("learn('k', 'x', '1', tags => array[null])", "22023", "tag NULL is not valid"),
    (
        "learn('k', 'x', '1', tags => array(select n::text from generate_series(1, 65) n))",
        "54000",
        "there are 65 tags",
    ),
    ("lookup('K', 'x')", "22023", "kind 'K' is not valid"),
    ("history('k', '')", "22023", "has 0 bytes"),
    ("forget('k', 'x', 'N')", "22023", "namespace 'N' is not valid"),
    ("recall('')", "22023", "query is empty"),
    ("recall('  ')", "22023", "query is empty"),
    ("recall(null)", "22023", "query is empty"),
    ("recall(repeat('x', 65537))", "54000", "query has 65537 bytes"),
    ("recall('x', max_results => 0)", "22023", "max_results is 0"),
    ("recall('x', max_results => 1000000)", "22023", "max_results is 1000000"),
    ("recall('x', max_results => null)", "22023", "max_results is null"),
    ("recall('x', min_similarity => 1.5)", "22023", "min_similarity is 1.5"),
    ("recall('x', 'K')", "22023", "kind 'K' is not valid"),
    ("ask('')", "22023", "query is empty"),
    ("record_outcome('k', 'unknown', true)", "P0002", "k 'unknown' is not known here"),
    ("follow('K')", "22023", "kind 'K' is not valid"),
    ("unfollow(null)", "22004", "kind must not be null"),
    ("connect('remote')", "22023", "there is no mode 'remote'"),
    ("connect(null)", "22023", "there is no mode NULL"),
    ("configure(environment => 'moon')", "22023", "'moon' does not fit the setting environment"),
    ('configure(settings => \'{"colour": "red"}\')', "22023", "there is no setting 'colour'"),
    (
        'configure(settings => \'{"answer_ttl": "soon"}\')',
        "22023",
        "'soon' does not fit the setting answer_ttl",
    ),
    ('configure(settings => \'{"mode": "hybrid"}\')', "22023", "the mode is not changed by configure()"),
    ("configure(settings => '[]')", "22023", "settings must be a JSON object"),
]


@pytest.mark.parametrize(("call", "sqlstate", "message"), KEYS)
def test_a_call_is_refused_in_clear_words(
    instance_db: psycopg.Connection, call: str, sqlstate: str, message: str
) -> None:
    no_hint = ("must not be null", "there are 65 tags", "query has")
    with refused(sqlstate, message, hint=None if any(words in message for words in no_hint) else ""):
        instance_db.execute(f"select singularity.{call}".encode())
    assert value(instance_db, "select count(*) from singularity.holding") == 0
    assert value(instance_db, "select count(*) from singularity.setting") == 0


def test_an_unknown_mode_lists_the_modes(instance_db: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue) as caught:
        instance_db.execute("select singularity.connect('remote')")
    for mode in ("local", "hybrid", "central"):
        assert mode in str(caught.value.diag.message_hint)


def test_an_outcome_says_whether_it_worked(instance_db: psycopg.Connection) -> None:
    instance_db.execute("select singularity.learn('k', 'x', '1')")
    with refused("22004", "succeeded must not be null"):
        instance_db.execute("select singularity.record_outcome('k', 'x', null)")
    with refused("P0002", "of variant 00 is not known here"):
        instance_db.execute("select singularity.record_outcome('k', 'x', true, variant => '00')")


GOOD = {"kind": "k", "name": "good", "content": {"a": 1}}
ELEMENTS = [
    (7, "22023", "element 1: an artifact must be a JSON object, not number"),
    ({**GOOD, "tag": "x"}, "22023", "element 1: unknown field 'tag'"),
    ({**GOOD, "kind": "K"}, "22023", "element 1: kind 'K' is not valid"),
    ({**GOOD, "kind": 3}, "22023", "element 1: field 'kind' must be of type string, not number"),
    ({**GOOD, "tags": "x"}, "22023", "element 1: field 'tags' must be of type array, not string"),
    ({**GOOD, "tags": [None]}, "22023", "element 1: tag NULL is not valid"),
    ({**GOOD, "shared": "yes"}, "22023", "element 1: field 'shared' must be of type boolean, not string"),
    ({"kind": "k", "content": 1}, "22004", "element 1: name must not be null"),
    ({"kind": "k", "name": "x"}, "22004", "element 1: content must not be null"),
    ({**GOOD, "content": "x" * 262143}, "54000", "element 1: content has 262145 bytes, the limit is 262144"),
]


@pytest.mark.parametrize(("element", "sqlstate", "message"), ELEMENTS)
def test_a_wrong_element_is_named_and_nothing_is_learned(
    instance_db: psycopg.Connection, element: object, sqlstate: str, message: str
) -> None:
    with refused(sqlstate, message):
        instance_db.execute("select singularity.learn_many(%s)", [json.dumps([GOOD, element])])
    assert value(instance_db, "select count(*) from singularity.holding") == 0


@pytest.mark.parametrize("artifacts", ['{"kind": "k"}', '"x"', "3", None])
def test_learn_many_wants_an_array(instance_db: psycopg.Connection, artifacts: str | None) -> None:
    with refused("22023", "artifacts must be a JSON array"):
        instance_db.execute("select singularity.learn_many(%s)", [artifacts])


class TestAwaitAnswer:
    def test_refuses_a_question_that_is_not_there(self, instance_db: psycopg.Connection) -> None:
        with refused("P0002", "there is no question"):
            instance_db.execute("call singularity.await_answer(%s)", [uuid.uuid4()])
        with refused("P0002", "there is no question null"):
            instance_db.execute("call singularity.await_answer(null)")

    def test_refuses_a_negative_timeout(self, instance_db: psycopg.Connection) -> None:
        with refused("22023", "timeout is -00:00:01"):
            instance_db.execute("call singularity.await_answer(%s, '-1 second')", [uuid.uuid4()])

    def test_refuses_an_open_transaction_block(self, instance_db: psycopg.Connection) -> None:
        with refused("25001", "cannot wait inside a transaction block"), instance_db.transaction():
            instance_db.execute("call singularity.await_answer(%s)", [uuid.uuid4()])
