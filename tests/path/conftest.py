"""A team on real servers.

Starting one takes longer than most tests, so the tests of a worker share it: each uses names of its own and leaves
everything running.
"""

from collections.abc import Iterator

import pytest
from tests.kit.team import Team, team_of


@pytest.fixture(scope="session")
def running_team(request: pytest.FixtureRequest) -> Iterator[Team]:
    """Start a team for the tests of a worker."""
    with team_of(request.session) as team:
        yield team


@pytest.fixture
def team(running_team: Team) -> Team:
    """Give a test the team when both machines are online."""
    running_team.ann.until_online()
    running_team.bob.until_online()
    return running_team
