"""The script builder, and the one version number of everything that is released together."""

import json
import re
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

import build

ROOT = Path(build.__file__).resolve().parent.parent
EXTENSIONS = ("singularity", "centralcloud")


@pytest.fixture
def sources(tmp_path: Path) -> Path:
    (tmp_path / "demo.manifest").write_text(
        "# the contents\nshared/thing/tables.sql\n\ndemo/own.sql  # a remark\n", encoding="utf-8"
    )
    write(tmp_path / "shared/thing/tables.sql", "create table @extschema@.thing (id int);\n")
    write(tmp_path / "demo/own.sql", "select '@extension@ @version@';\n")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_the_script_is_the_guard_and_the_sources_in_order(sources: Path) -> None:
    script = build.build(sources, "demo", "1.2.3").splitlines()
    assert script[0] == r'\echo Use "CREATE EXTENSION demo CASCADE" to load this file. \quit'
    assert [line for line in script[1:] if line] == [
        "-- -------------------- sql/shared/thing/tables.sql",
        "create table @extschema@.thing (id int);",
        "-- -------------------- sql/demo/own.sql",
        "select 'demo 1.2.3';",
    ]


def test_a_missing_file_is_named(sources: Path) -> None:
    (sources / "demo/own.sql").unlink()
    with pytest.raises(build.BuildError, match=r"not there: demo/own\.sql"):
        build.build(sources, "demo", "1")


@pytest.mark.parametrize("name", ["shared/thing/functions.sql", "demo/more.sql"])
def test_an_unlisted_file_is_named(sources: Path, name: str) -> None:
    write(sources / name, "select 1;\n")
    with pytest.raises(build.BuildError, match=rf"not listed in demo\.manifest: {re.escape(name)}"):
        build.build(sources, "demo", "1")


def test_another_extensions_file_is_not_missed(sources: Path) -> None:
    write(sources / "other/tables.sql", "select 1;\n")
    assert "other" not in build.build(sources, "demo", "1")


def test_a_file_listed_twice_is_named(sources: Path) -> None:
    manifest = sources / "demo.manifest"
    manifest.write_text(manifest.read_text(encoding="utf-8") + "demo/own.sql\n", encoding="utf-8")
    with pytest.raises(build.BuildError, match=r"listed twice in demo\.manifest: demo/own\.sql"):
        build.build(sources, "demo", "1")


def test_an_unknown_extension_is_an_error_for_the_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert build.main(["nonesuch", "1"]) == 1
    assert "there is no manifest" in capsys.readouterr().err


def test_every_released_part_has_the_same_version() -> None:
    meta = json.loads((ROOT / "extension/META.json").read_text(encoding="utf-8"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    newest = re.search(r"^## \[?(\d+\.\d+\.\d+)", changelog, re.MULTILINE)
    assert newest is not None
    versions = {
        "META.json": meta["version"],
        "pyproject.toml": project["project"]["version"],
        "CHANGELOG.md": newest[1],
    }
    for extension in EXTENSIONS:
        control = (ROOT / f"extension/{extension}.control").read_text(encoding="utf-8")
        versions[f"{extension}.control"] = re.findall(r"^default_version = '(.*)'$", control, re.MULTILINE)[0]
        provided = meta["provides"][extension]
        versions[f"META.json: {extension}"] = provided["version"]
        assert provided["file"] == f"{extension}--{provided['version']}.sql"
    assert set(versions.values()) == {meta["version"]}, versions


@pytest.fixture
def upgrades(tmp_path: Path) -> Path:
    """Make the steps from version 1 to 2 and from 2 to 3, which is in work."""
    folder = tmp_path / "upgrade"
    write(folder / "lock.sql", "lock everything;\n")
    write(folder / "demo--1--2.sql", "alter table first;\n")
    write(folder / "demo--2--3.sql", "alter table second;\n-- include shared/thing/tables.sql\n")
    write(folder / "other--1--2.sql", "alter table other;\n")
    return folder


LAST_STEP = [
    "alter table second;",
    "-- -------------------- sql/shared/thing/tables.sql",
    "create table @extschema@.thing (id int);",
]


@pytest.mark.parametrize(("old", "changes"), [("2", LAST_STEP), ("1", ["alter table first;", *LAST_STEP])])
def test_an_upgrade_is_every_step_and_then_every_source_but_tables(
    sources: Path, upgrades: Path, old: str, changes: list[str]
) -> None:
    script = build.build_upgrade(sources, "demo", old, "3", upgrades).splitlines()
    assert [line for line in script if line] == [
        "\\echo Use \"ALTER EXTENSION demo UPDATE TO '3'\" to load this file. \\quit",
        "lock everything;",
        *changes,
        "-- -------------------- sql/demo/own.sql",
        "select 'demo 3';",
    ]


@pytest.mark.parametrize(
    ("old", "version", "missing"), [("0", "3", "0"), ("1", "4", "3"), ("3", "3", "3"), ("2", "1", "3")]
)
def test_a_step_that_nobody_wrote_is_named(
    sources: Path, upgrades: Path, old: str, version: str, missing: str
) -> None:
    with pytest.raises(build.BuildError, match=rf"no step from {missing} on the way to {version}"):
        build.build_upgrade(sources, "demo", old, version, upgrades)


def test_steps_in_a_circle_lead_nowhere(sources: Path, upgrades: Path) -> None:
    write(upgrades / "demo--3--1.sql", "")
    with pytest.raises(build.BuildError, match="no step from 1 on the way to 4"):
        build.build_upgrade(sources, "demo", "1", "4", upgrades)


def test_two_steps_from_one_version_are_named(sources: Path, upgrades: Path) -> None:
    write(upgrades / "demo--1--3.sql", "")
    with pytest.raises(
        build.BuildError, match=r"two steps begin with 1: demo--1--2\.sql and demo--1--3\.sql"
    ):
        build.build_upgrade(sources, "demo", "2", "3", upgrades)


def test_an_included_file_that_is_not_listed_is_named(sources: Path, upgrades: Path) -> None:
    write(upgrades / "demo--2--3.sql", "-- include shared/other/tables.sql\n")
    with pytest.raises(
        build.BuildError, match=r"in demo--2--3\.sql but not listed .*: shared/other/tables\.sql"
    ):
        build.build_upgrade(sources, "demo", "2", "3", upgrades)


def test_a_step_of_the_past_includes_nothing(sources: Path, upgrades: Path) -> None:
    write(upgrades / "demo--1--2.sql", "-- include shared/thing/tables.sql\n")
    with pytest.raises(
        build.BuildError, match=r"demo--1--2\.sql is a step of the past: .* shared/thing/tables\.sql"
    ):
        build.build_upgrade(sources, "demo", "1", "3", upgrades)


def test_every_version_has_its_step_to_the_next() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\S+) \(", changelog, re.MULTILINE)
    wanted = {f"{one}--{old}--{new}.sql" for one in EXTENSIONS for new, old in pairwise(versions)}
    assert {path.name for path in (ROOT / "extension/upgrade").iterdir()} == {*wanted, "lock.sql"}
