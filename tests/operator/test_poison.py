"""A message cannot be applied, or is refused. Status, log and check say what, and how to have it tried again."""

from collections.abc import Callable
from contextlib import suppress

import psycopg
import pytest
from tests.kit.machine import Machine
from tests.kit.queries import value
from tests.kit.team import fresh
from tests.operator.conftest import Scene, Side

from singularity_lab import Database

UNAPPLIED = "could not be applied (the last: "
REFUSED = "The authority refused "


def obstruct(database: Database, table: str, name: str, later: Callable[..., object]) -> None:
    """Let a trigger refuse every row of a table that has something to do with an artifact."""
    statement = f"""
        create function public.obstruct() returns trigger language plpgsql as $$
        begin
            if to_jsonb(new)::text like '%{name}%' then raise exception 'no room for {name}'; end if;
            return new;
        end $$;
        create trigger obstruct before insert or update on {table} for each row execute function public.obstruct()
    """
    with database.connect_superuser() as connection:
        connection.execute(statement.encode())
    later(clean, database)


def clear(database: Database) -> None:
    """Drop that trigger."""
    with database.connect_superuser() as connection, suppress(psycopg.errors.UndefinedFunction):
        connection.execute("drop function public.obstruct() cascade")


def clean(database: Database) -> None:
    """Drop the trigger and forget what it left, for the tests that follow."""
    clear(database)
    with database.connect_superuser() as connection:
        connection.execute(f"delete from {database.extension}.dead_letter".encode())


def told_of_dead_letters(side: Side, name: str) -> None:
    """Expect a side to tell of a message that could not be applied and of its mend."""
    schema = side.database.extension
    told = side.until_told(UNAPPLIED, f"no room for {name}")
    assert told.endswith(
        f"): see {schema}.dead_letters; SELECT {schema}.replay_dead_letters() after the mend."
    )
    side.until_logged(f"no room for {name}")
    side.assert_check_tells("state: ", f"SELECT {schema}.replay_dead_letters() after the mend")
    assert side.ask(f"select distinct error from {schema}.dead_letter") == f"no room for {name}"


def test_the_authority_cannot_apply_a_contribution(scene: Scene, later: Callable[..., object]) -> None:
    name, other = fresh("poison"), fresh("harmless")
    obstruct(scene.team.central, "centralcloud.artifact", name, later)
    scene.team.ann.learn(name, 1)
    scene.team.ann.learn(other, 1)
    told_of_dead_letters(scene.central, name)
    told = scene.ann.until_told(REFUSED)
    assert told.endswith(
        "CALL singularity.reconcile() after a mend at the authority; see singularity.delivery."
    )
    scene.ann.until_logged(told)
    scene.ann.assert_check_tells(
        "state: The authority refused one contribution", "CALL singularity.reconcile()"
    )
    reason = "select reason from singularity.delivery where verdict = 'refused'"
    assert scene.ann.ask(reason) == f"no room for {name}"
    scene.team.ann.until(lambda: scene.team.authority_has(other), "what came with it")
    clear(scene.team.central)
    assert scene.central.ask("select centralcloud.replay_dead_letters()") == 1
    assert scene.team.authority_has(name)
    scene.central.until_well()
    scene.ann.do("CALL singularity.reconcile()")
    scene.ann.until_well()
    for side in (scene.ann, scene.central):
        side.until_logged("all is well again")
        side.assert_check_is_right()


def test_what_the_authority_set_aside_comes_again_by_the_instance_alone(
    scene: Scene, later: Callable[..., object]
) -> None:
    """Each side has a mend of its own; one that was applied meanwhile is a dead letter no longer when replayed."""
    name = fresh("poison")
    obstruct(scene.team.central, "centralcloud.artifact", name, later)
    scene.team.ann.learn(name, 1)
    scene.ann.until_told(REFUSED)
    clear(scene.team.central)
    scene.ann.do("CALL singularity.reconcile()")
    scene.team.ann.until(lambda: scene.team.authority_has(name), "what was set aside")
    scene.ann.until_well()
    scene.central.ask("select centralcloud.replay_dead_letters()")
    scene.until_all_is_well()


def test_an_instance_cannot_apply_what_is_pushed(scene: Scene, later: Callable[..., object]) -> None:
    kind, name = fresh("kind"), fresh("poison")
    scene.team.ann.learn("good", 1, kind)
    scene.team.bob.call("follow", kind=kind)
    later(scene.team.bob.call, "unfollow", kind=kind)
    scene.team.bob.until(lambda: scene.team.bob.copy_of("good", kind) == 1, "what is followed")
    obstruct(scene.team.bob.database, "singularity.central_copy", name, later)
    scene.team.ann.learn(name, 1, kind)
    told_of_dead_letters(scene.bob, name)
    clear(scene.team.bob.database)
    scene.bob.ask("select singularity.replay_dead_letters()")
    scene.team.bob.until(lambda: scene.team.bob.copy_of(name, kind) == 1, "the copy")
    scene.bob.until_well(10)
    scene.bob.until_logged("all is well again")
    scene.bob.assert_check_is_right()


def test_an_instance_cannot_apply_one_row_of_several(scene: Scene, later: Callable[..., object]) -> None:
    kind, name = fresh("kind"), fresh("poison")
    scene.team.bob.call("follow", kind=kind)
    later(scene.team.bob.call, "unfollow", kind=kind)
    scene.team.ann.learn("first", 1, kind)
    scene.team.bob.until(lambda: scene.team.bob.copy_of("first", kind) == 1, "what is followed")
    obstruct(scene.team.bob.database, "singularity.central_copy", name, later)
    both = [{"kind": kind, "name": one, "content": 1} for one in (name, "good")]
    scene.team.ann.learn_many(both)
    scene.team.bob.until(lambda: scene.team.bob.copy_of("good", kind) == 1, "the row that came with it")
    told_of_dead_letters(scene.bob, name)
    clear(scene.team.bob.database)
    scene.bob.ask("select singularity.replay_dead_letters()")
    scene.team.bob.until(lambda: scene.team.bob.copy_of(name, kind) == 1, "the copy", 10)
    scene.bob.until_well(10)


def test_an_instance_cannot_apply_an_answer(scene: Scene, later: Callable[..., object]) -> None:
    name = fresh("poison")
    obstruct(scene.team.bob.database, "singularity.central_copy", name, later)
    scene.team.ann.learn(name, 1)
    scene.team.ann.until_confirmed()
    assert scene.team.bob.lookup(name) is None
    scene.bob.until_told(UNAPPLIED, f"no room for {name}", "SELECT singularity.replay_dead_letters()")
    scene.bob.until_logged(f"no room for {name}")
    clear(scene.team.bob.database)
    scene.bob.ask("select singularity.replay_dead_letters()")
    scene.team.bob.until_known(name)
    scene.bob.until_well(10)


def limit_content(scene: Scene, octets: int) -> int:
    """Let the authority take only content up to a size, as one of another release may; returns what it was."""
    statement = f"""
        create or replace function centralcloud.content_limit() returns integer
        language sql immutable parallel safe as $$ select {octets} $$
    """
    with scene.team.central.connect_superuser() as connection:
        before = value(connection, "select centralcloud.content_limit()")
        connection.execute(statement.encode())
    return int(before)


@pytest.fixture
def refused(scene: Scene, later: Callable[..., object]) -> tuple[Side, Machine, str]:
    """Have the authority refuse what an instance learned; returns its view, the instance and the artifact's name."""
    dora = scene.machine("dora")
    later(dora.connection.close)
    later(dora.bridge.close)
    dora.until_online()
    later(limit_content, scene, limit_content(scene, 100))
    name = fresh("long")
    dora.learn(name, "x" * 200)
    return scene.side(dora), dora, name


def test_a_refused_contribution_is_told_of_and_sent_again(
    scene: Scene, refused: tuple[Side, Machine, str]
) -> None:
    side, _, name = refused
    side.log_start = 0
    told = side.until_told(REFUSED + "one contribution")
    assert "content has 202 bytes, the limit is 100" in told
    side.until_logged(told)
    side.assert_check_tells(
        "state: The authority refused one contribution", "learn it otherwise or forget it"
    )
    reason = "select verdict || ': ' || reason from singularity.delivery where reason is not null"
    assert side.ask(reason) == "refused: content has 202 bytes, the limit is 100"
    limit_content(scene, 1 << 18)
    side.do("CALL singularity.reconcile()")
    side.until_well(10)
    assert scene.team.authority_has(name)


def test_a_refused_contribution_is_learned_otherwise(
    scene: Scene, refused: tuple[Side, Machine, str]
) -> None:
    side, dora, name = refused
    side.log_start = 0
    side.until_logged(side.until_told(REFUSED))
    dora.learn(name, "short")
    dora.until(lambda: scene.team.authority_has(name), "the shorter one")
    side.until_well()
    side.until_logged("all is well again")
    side.assert_check_is_right()


def test_a_refused_contribution_is_forgotten(refused: tuple[Side, Machine, str]) -> None:
    side, dora, name = refused
    side.log_start = 0
    side.until_logged(side.until_told(REFUSED))
    assert dora.forget(name, everywhere=True)
    dora.until_confirmed()
    side.until_well(10)
