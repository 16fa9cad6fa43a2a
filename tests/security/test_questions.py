"""What a reader may have asked of the authority is bounded, by whatever way he asks."""

import random

import pytest
from psycopg.types.json import Jsonb
from tests.kit.instance_relay import InstanceRelay
from tests.kit.queries import value
from tests.kit.session import Session
from tests.security.test_settings import relay as online  # noqa: F401

from singularity_lab import Database

LIMIT = 50
SHARE = LIMIT // 10


@pytest.fixture(autouse=True)
def limited(instance: Database, online: InstanceRelay) -> None:  # noqa: F811
    with instance.connect() as admin:
        admin.execute("select singularity.configure(settings => %s)", [Jsonb({"max_open_questions": LIMIT})])


@pytest.mark.parametrize("way", ["ask", "lookup", "recall"])
def test_a_reader_has_a_share(instance: Database, online: InstanceRelay, way: str) -> None:  # noqa: F811
    with instance.connect(instance.viewer) as connection, instance.connect() as other:
        viewer = Session(connection)
        for number in range(3 * SHARE):
            if way == "ask":
                assert (viewer.ask(f"question {number}") is None) is (number >= SHARE)
            elif way == "lookup":
                viewer.lookup(f"thing {number}")
            else:
                viewer.recall(f"thing {number}")
        assert viewer.status()["open_questions"] == SHARE
        if way == "ask":
            assert viewer.notices[-1].endswith("too many have no answer yet, see max_open_questions")
            assert viewer.ask("question 0") is not None  # open already
        # somebody else has his own, and there is room again when they are answered
        assert Session(other).ask("horse") is not None
        for message in online.take("question"):
            online.answer(message)
        assert viewer.ask("zebra") is not None


def test_all_together_have_a_limit(instance: Database) -> None:
    with instance.connect_superuser() as owner, instance.connect(instance.viewer) as connection:
        owner.execute(
            "insert into singularity.question (question_key, query, asked_by) "
            "select n::text, 'x', 'login ' || n %% 20 from generate_series(1, %s) n",
            [LIMIT - 1],
        )
        viewer = Session(connection)
        assert viewer.ask("one") is not None
        assert viewer.ask("two") is None
        owner.execute("update singularity.question set asked_at = now() - interval '2 hours'")
        assert viewer.ask("two") is not None


def test_who_asks_in_serializable_transactions_is_bounded_too(instance: Database) -> None:
    with instance.connect(instance.viewer) as connection, instance.connect_superuser() as owner:
        viewer = Session(connection)
        viewer.run("begin isolation level serializable")
        last = [viewer.ask(random.randbytes(1500).hex()) for _ in range(LIMIT)][-1]
        viewer.run("commit")
        assert last is None
        size = value(owner, "select pg_table_size('singularity.question')")
        assert size < LIMIT * 2048


def test_whose_question_it_is_cannot_be_chosen(instance: Database) -> None:
    with instance.connect(instance.viewer) as connection, instance.connect_superuser() as owner:
        viewer = Session(connection)
        viewer.run("set role singularity_reader")
        viewer.ask("zebra")
        assert value(owner, "select asked_by from singularity.question") == instance.viewer
