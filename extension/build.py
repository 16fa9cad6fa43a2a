"""Writes an extension's install or upgrade script to standard output, from the sources of its manifest in order.

Usage: build.py EXTENSION VERSION > EXTENSION--VERSION.sql
       build.py EXTENSION FROM VERSION > EXTENSION--FROM--VERSION.sql

An upgrade script is what extension/upgrade/EXTENSION--FROM--VERSION.sql says, then every source but tables.sql. There
the line "-- include FILE" stands for a source of tables that is new.
"""

import re
import sys
from pathlib import Path

SOURCES = Path(__file__).resolve().parent.parent / "sql"
UPGRADES = Path(__file__).resolve().parent / "upgrade"
INCLUDE = re.compile(r"^-- include (\S+)$", re.MULTILINE)


class BuildError(Exception):
    """The manifest and the files under sql/ do not agree."""


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
    changes = upgrades / f"{extension}--{old}--{version}.sql"
    if not changes.is_file():
        raise BuildError(f"there is no {changes}")

    def included(line: re.Match[str]) -> str:
        if line[1] not in names:
            raise BuildError(f"included in {changes.name} but not listed in {extension}.manifest: {line[1]}")
        return section(sources, line[1]).strip()

    guard = f"\\echo Use \"ALTER EXTENSION {extension} UPDATE TO '{version}'\" to load this file. \\quit\n\n"
    script = guard + INCLUDE.sub(included, changes.read_text(encoding="utf-8"))
    script += "".join(section(sources, name) for name in names if not name.endswith("/tables.sql"))
    return script.replace("@extension@", extension).replace("@version@", version)


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
