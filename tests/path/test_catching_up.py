"""Who was away, or started in another order, catches up with everything, removals too."""

from tests.kit.queries import row, rows, value
from tests.kit.team import Team, fresh

from singularity_lab import wait_until


def copies(team: Team, kind: str) -> dict[str, object]:
    """Return what bob has of a kind, by name."""
    query = "select name, content from singularity.central_copy where kind = %s"
    return {found["name"]: found["content"] for found in rows(team.bob.connection, query, kind)}


def test_changes_additions_and_removals_while_a_follower_was_away(team: Team) -> None:
    kind = fresh("away")
    for n in range(4):
        team.ann.learn(f"n{n}", "old", kind)
    team.bob.call("follow", kind=kind)
    team.bob.until(lambda: len(copies(team, kind)) == 4, "the whole kind")
    assert team.bob.bridge.stop() == 0
    team.ann.learn("n1", "new", kind)
    team.ann.forget("n2", kind=kind, everywhere=True)
    team.ann.learn("n9", "added", kind)
    team.ann.until_confirmed()
    wait_until(
        lambda: value(team.curator, "select unpublished from centralcloud.status()") == 0, 20, "the pushes"
    )
    assert copies(team, kind) == dict.fromkeys(["n0", "n1", "n2", "n3"], "old")
    team.bob.bridge.start()
    now = {"n0": "old", "n1": "new", "n3": "old", "n9": "added"}
    team.bob.until(lambda: copies(team, kind) == now, "what changed meanwhile")
    team.bob.call("unfollow", kind=kind)


def test_a_cached_answer_is_refreshed_after_an_absence(team: Team) -> None:
    name = fresh("cached")
    team.ann.learn(name, "old")
    team.ann.until_confirmed()
    team.bob.until_known(name)
    team.bob.bridge.kill9()
    team.ann.learn(name, "new")
    team.ann.until_confirmed()
    team.bob.bridge.start()
    team.bob.until(lambda: team.bob.copy_of(name) == "new", "the new content")


def test_who_does_not_follow_any_more_is_not_sent_what_is_new(team: Team) -> None:
    kind = fresh("left")
    team.ann.learn("kept", "old", kind)
    team.bob.call("follow", kind=kind)
    team.bob.until(lambda: copies(team, kind) == {"kept": "old"}, "the kind")
    team.bob.call("unfollow", kind=kind)
    followed = "select followed from singularity.topic where kind = %s"
    team.bob.until(lambda: not value(team.bob.connection, followed, kind), "not to follow")
    team.ann.learn("added", "new", kind)
    team.ann.learn("kept", "new", kind)
    team.bob.until(lambda: copies(team, kind)["kept"] == "new", "what is here to be refreshed")
    position = "select position = head and head >= 3 as there from singularity.topic where kind = %s"
    team.bob.until(lambda: value(team.bob.connection, position, kind), "everything to be heard")
    assert copies(team, kind) == {"kept": "new"}


def test_everything_is_down_and_comes_back_the_other_way_round(team: Team) -> None:
    name = fresh("all-down")
    team.ann.bridge.kill9()
    team.central_bridge.kill9()
    team.nats.kill9()
    team.server.stop(mode="immediate")
    team.ann.learn(name, "learned alone")
    team.ann.use(name, 2)
    assert (team.ann.lookup(name) or {})["content"] == "learned alone"
    status = team.ann.status()
    assert status["outbox_entries"] >= 1
    team.ann.bridge.start()
    team.ann.until(lambda: not team.ann.status()["online"], "offline")
    team.nats.start()
    team.central_bridge.start()
    team.server.start()
    team.bob.reconnect()
    team.curator.close()
    team.curator = team.central.connect()
    uses = "select coalesce(max(uses), 0) from centralcloud.artifact where name = %s"
    team.ann.until(lambda: value(team.curator, uses, name) == 2, "everything at the authority", 60)
    team.ann.until_confirmed()
    team.bob.until_online()
    assert team.bob.until_known(name)["uses"] == 2


def test_an_instance_that_was_never_online_brings_everything_along(team: Team) -> None:
    """It connects first, its bridge comes later, and the authority's bridge last."""
    assert team.central_bridge.stop() == 0
    database = team.lab.instance(fresh("carl").replace("-", "_"), cluster=team.lab.cluster("laptop"))
    name = fresh("before")
    with database.connect() as carl:
        learn = "select singularity.learn('pattern', %s || n, to_jsonb(n)) from generate_series(1, 400) as n"
        carl.execute(learn, [name])
        carl.execute("select singularity.connect()")
        carl.execute(learn, [name + "-after-"])
        status = row(carl, "select * from singularity.status()")
        assert (status["outbox_entries"], status["online"]) == (800, False)
        bridge = team.lab.bridge(database, team.nats)
        waiting = "select count(*) from singularity.outbox where batch_id is null"
        wait_until(lambda: value(carl, waiting) == 0, 20, "everything to be offered")
        team.central_bridge.start()
        wait_until(
            lambda: value(carl, "select outbox_entries from singularity.status()") == 0, 60, "receipts"
        )
        known = "select count(*) from centralcloud.artifact where name like %s and variant is not null"
        assert value(team.curator, known, f"{name}%") == 800
        assert bridge.stop() == 0


def test_a_second_bridge_of_the_authority_takes_over(team: Team) -> None:
    second = team.lab.bridge(team.central, team.nats, name=fresh("second"))
    second.wait_for_log("standing by", 20)
    epoch = value(team.curator, "select epoch from centralcloud.status()")
    team.central_bridge.kill9()
    name = fresh("taken-over")
    team.ann.learn(name, 1)
    team.ann.until(lambda: team.authority_has(name), "the second bridge to take over", 60)
    assert value(team.curator, "select epoch from centralcloud.status()") != epoch
    team.bob.until_known(name)
    assert second.stop() == 0
    team.central_bridge.start()
    team.ann.until_confirmed()
    team.ann.until_online()


def test_a_full_stream_only_delays(team: Team) -> None:
    limit = "select centralcloud.configure(jsonb_build_object('stream_max_bytes', %s::bigint))"
    kind = fresh("much")

    def stream() -> dict[str, int]:
        (account,) = team.nats.monitor("jsz?streams=1&config=1")["account_details"]
        (found,) = account["stream_detail"]
        return {"limit": found["config"]["max_bytes"], "bytes": found["state"]["bytes"]}

    team.curator.execute(limit, [1_200_000])
    wait_until(lambda: stream()["limit"] == 1_200_000, 20, "the stream to be smaller")
    team.central_bridge.freeze()
    try:
        for n in range(100):
            team.ann.learn(f"n{n}", f"{n}" + "x" * 30_000, kind)
        refused = "select exists (select from singularity.batch where failed_at is not null)"
        team.ann.until(lambda: value(team.ann.connection, refused), "the stream to be full")
        assert 0 < stream()["bytes"] <= 1_200_000
        assert team.ann.status()["outbox_entries"] == 100
    finally:
        team.central_bridge.thaw()
    held = "select count(*) from centralcloud.artifact where kind = %s and variant is not null"
    team.ann.until(lambda: value(team.curator, held, kind) == 100, "everything at the authority", 60)
    team.ann.until_confirmed()
    team.curator.execute(limit, [None])
    wait_until(lambda: stream()["limit"] > 1_200_000, 20, "the stream to be as before")
    team.bob.until_online()
