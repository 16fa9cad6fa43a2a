"""What the authority adds up over all instances may be more than one of them may say."""

from tests.kit.pair import Authority, Instance, settle
from tests.kit.queries import value
from tests.kit.speaker import Speaker

from singularity_lab import Database


def test_counters_of_several_instances(authority: Database, instance: Database) -> None:
    there, here = Authority(authority), Instance(instance)
    try:
        here.call("connect")
        here.call("follow", kind="pattern")
        for number in (1, 2):
            one = Speaker(number)
            there.relay.give([one.says(one.holds("zebra", "thing", kind="pattern"))])
            there.relay.give([one.says(one.used(10**12, content="zebra", name="thing", kind="pattern"))])
        settle(there, here)
        assert value(here.owner, "select uses from singularity.central_copy") == 2 * 10**12
        assert here.status()["dead_letters"] == 0
    finally:
        here.close()
        there.close()
