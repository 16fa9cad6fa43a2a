"""Writes an extension's install or upgrade script to standard output, from the sources of its manifest in order.

Usage: build.py EXTENSION VERSION > EXTENSION--VERSION.sql
       build.py EXTENSION FROM VERSION > EXTENSION--FROM--VERSION.sql

An upgrade script is the steps that lead from FROM to VERSION, one after the other, then every source but tables.sql. A
step, extension/upgrade/EXTENSION--OLD--NEW.sql, is written by hand for one version and the next:

- It changes what the sources do not make anew: tables, types, sequences and indexes, with their rows and comments.
  These are as OLD had them.
- Functions and views are not OLD's: they are those of the version that the upgrade began with, less what steps before
  have dropped. A step calls none of them, not in a default either, and drops them with IF EXISTS.
- It drops what is gone, and what CREATE OR REPLACE would refuse: a function whose result or argument names changed, a
  view whose columns did.
- Before it drops or retypes a column or a type it drops what hangs on it in any older version: views, functions with a
  BEGIN ATOMIC body, functions that take or return the type. The sources make them again.
- In the step to the version in work the line "-- include FILE" stands for a source of new tables. On release the
  file's text takes the line's place: the file goes on changing.
"""

import re
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "sql"
UPGRADES = Path(__file__).resolve().parent / "upgrade"
INCLUDE = re.compile(r"^-- include (\S+)$", re.MULTILINE)


class BuildError(Exception):
    """The manifest, the files under sql/ and the steps do not agree."""


def main(arguments: list[str]) -> int:
    """Build the script named on the command line; return the exit code."""
    if len(arguments) not in {2, 3}:
        print(__doc__, file=sys.stderr)
        return 2
    try:
        extension, *old, version = arguments
        script = (
            build_upgrade(SOURCES, extension, old[0], version) if old else build(SOURCES, extension, version)
        )
        sys.stdout.write(script)
    except BuildError as error:
        print(f"build.py: {error}", file=sys.stderr)
        return 1
    return 0


def build(sources: Path, extension: str, version: str) -> str:
    """Return the whole install script. `@extschema@` stays: PostgreSQL replaces it."""
    names = read_manifest(sources / f"{extension}.manifest")
    check_complete(sources, extension, names)
    guard = f'\\echo Use "CREATE EXTENSION {extension} CASCADE" to load this file. \\quit\n'
    script = guard + "".join(section(sources, name) for name in names)
    return script.replace("@extension@", extension).replace("@version@", version)


def build_upgrade(sources: Path, extension: str, old: str, version: str, upgrades: Path = UPGRADES) -> str:
    """Return the whole upgrade script."""
    names = read_manifest(sources / f"{extension}.manifest")
    check_complete(sources, extension, names)
    *past, last = find_steps(upgrades, extension, old, version)
    changes = [*map(read_past_step, past), read_last_step(last, sources, names)]
    guard = f"\\echo Use \"ALTER EXTENSION {extension} UPDATE TO '{version}'\" to load this file. \\quit\n\n"
    lock = (upgrades / "lock.sql").read_text(encoding="utf-8")
    script = guard + lock + "\n" + "\n".join(changes)
    script += "".join(section(sources, name) for name in names if not name.endswith("/tables.sql"))
    return script.replace("@extension@", extension).replace("@version@", version)


def find_steps(upgrades: Path, extension: str, old: str, version: str) -> list[Path]:
    """Return the steps from one version to another, in order."""
    steps: dict[str, Path] = {}
    for step in sorted(upgrades.glob(f"{extension}--*--*.sql")):
        start = step.stem.split("--")[1]
        if start in steps:
            raise BuildError(f"two steps begin with {start}: {steps[start].name} and {step.name}")
        steps[start] = step
    found: list[Path] = []
    reached = old
    while not found or reached != version:
        if reached not in steps:
            raise BuildError(f"no step from {reached} on the way to {version}: {extension}--{reached}--….sql")
        found.append(steps.pop(reached))
        reached = found[-1].stem.split("--")[2]
    return found


def read_past_step(step: Path) -> str:
    """Return a step between released versions; raise BuildError when it takes over what today's sources say."""
    text = step.read_text(encoding="utf-8")
    if line := INCLUDE.search(text):
        raise BuildError(f"{step.name} is a step of the past: write the text of {line[1]} into it")
    return text


def read_last_step(step: Path, sources: Path, names: list[str]) -> str:
    """Return the step to the version in work, with the sources that it includes."""

    def included(line: re.Match[str]) -> str:
        if line[1] not in names:
            raise BuildError(f"included in {step.name} but not listed in the manifest: {line[1]}")
        return section(sources, line[1]).strip()

    return INCLUDE.sub(included, step.read_text(encoding="utf-8"))


def read_manifest(manifest: Path) -> list[str]:
    """Return the listed paths in order; raise BuildError when one is listed twice."""
    if not manifest.is_file():
        raise BuildError(f"there is no manifest {manifest}")
    lines = (line.partition("#")[0].strip() for line in manifest.read_text(encoding="utf-8").splitlines())
    names = [line for line in lines if line]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise BuildError(f"listed twice in {manifest.name}: {', '.join(twice)}")
    return names


def check_complete(sources: Path, extension: str, names: list[str]) -> None:
    """Raise BuildError unless the manifest lists exactly the extension's own and the shared sources."""
    present = {
        path.relative_to(sources).as_posix()
        for folder in ("shared", extension)
        for path in (sources / folder).rglob("*.sql")
    }
    if missing := sorted(set(names) - present):
        raise BuildError(f"listed in {extension}.manifest but not there: {', '.join(missing)}")
    if unlisted := sorted(present - set(names)):
        raise BuildError(f"there but not listed in {extension}.manifest: {', '.join(unlisted)}")


def section(sources: Path, name: str) -> str:
    """Return one source under a comment that names it."""
    return f"\n-- {'-' * 20} sql/{name}\n\n{(sources / name).read_text(encoding='utf-8').strip()}\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
