"""The script builder, and the one version number of everything that is released together."""

import json
import re
import tomllib
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
    folder = tmp_path / "upgrade"
    write(folder / "demo--1--2.sql", "alter table thing;\n-- include shared/thing/tables.sql\n")
    return folder


def test_an_upgrade_is_what_changed_and_every_source_but_tables(sources: Path, upgrades: Path) -> None:
    script = build.build_upgrade(sources, "demo", "1", "2", upgrades).splitlines()
    assert [line for line in script if line] == [
        "\\echo Use \"ALTER EXTENSION demo UPDATE TO '2'\" to load this file. \\quit",
        "alter table thing;",
        "-- -------------------- sql/shared/thing/tables.sql",
        "create table @extschema@.thing (id int);",
        "-- -------------------- sql/demo/own.sql",
        "select 'demo 2';",
    ]


def test_an_upgrade_that_nobody_wrote_is_named(sources: Path, upgrades: Path) -> None:
    with pytest.raises(build.BuildError, match=r"there is no .*demo--0--2\.sql"):
        build.build_upgrade(sources, "demo", "0", "2", upgrades)


def test_an_included_file_that_is_not_listed_is_named(sources: Path, upgrades: Path) -> None:
    write(upgrades / "demo--1--2.sql", "-- include shared/other/tables.sql\n")
    with pytest.raises(build.BuildError, match=r"not listed in demo\.manifest: shared/other/tables\.sql"):
        build.build_upgrade(sources, "demo", "1", "2", upgrades)
