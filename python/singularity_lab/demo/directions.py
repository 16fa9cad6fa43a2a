"""How to look around in a demonstration that was left running."""

import shlex
import shutil

from singularity_lab.demo.scene import Scene, Session
from singularity_lab.postgres import bin_folder

# Queries worth trying on an instance, and on the authority.
_INSTANCE = r"""  select * from singularity.status() \gx
  select kind, name, summary, origin, level from singularity.recall('advisory lock');   -- and once more
  select * from singularity.outbox_entries;"""
_AUTHORITY = """  select * from centralcloud.statistics();
  select relevance, (artifact).kind, (artifact).name from centralcloud.search('advisory lock');"""


def directions(scene: Scene, pid: int) -> str:
    """Return the psql commands for each database, something to try, and how to end the process `pid`."""
    return f"""Everything is still running. Look around from another terminal, as ordinary users:

  developer   {_psql(scene.developer)}
  production  {_psql(scene.production)}
  authority   {_psql(scene.authority)}

Try, as the developer or production:

{_INSTANCE}

and at the authority:

{_AUTHORITY}

NATS is at {scene.nats.url}, its monitoring page at http://127.0.0.1:{scene.nats.monitoring_port}.
Press Ctrl-C here, or run `kill {pid}`, to stop everything."""


def _psql(session: Session) -> str:
    program = "psql" if shutil.which("psql") else str(bin_folder() / "psql")
    return f"{program} {shlex.quote(session.database.dsn())}"
