"""Every link, path and function that the pages name is there."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", *ROOT.glob("extension/doc/*.md"), *ROOT.glob(".github/*.md")])
ARCHITECTURE = ROOT / "extension/doc/architecture.md"
TOP = "|".join(re.escape(path.name) for path in ROOT.iterdir() if path.name != ".git")
NAMED = re.compile(rf"(?:{TOP})(?:/[\w./-]*)?")
# what is made, not kept
MADE = re.compile(r"(build|\.venv)\b")


def without_examples(page: Path) -> str:
    """Return the text of a page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Return what the headings of a page can be linked by, as GitHub makes it of them."""
    headings = re.findall(r"^#+ (.+)$", without_examples(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def paths(text: str) -> list[str]:
    """Return the paths of the repository that are named in backticks."""
    words = [word for code in re.findall(r"`([^`\n]+)`", text) for word in code.split()]
    return [word for word in words if NAMED.fullmatch(word) and not MADE.match(word)]


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading of the page on architecture."""
    section = ARCHITECTURE.read_text(encoding="utf-8").split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = re.findall(r"^\| (.+) \|$", section, re.MULTILINE)[1:]
    return [[cell.strip() for cell in line.split("|")] for line in lines]


def listed(cell: str) -> list[str]:
    """Return the names in a cell, without what is in backticks (paths) and in parentheses (explanations)."""
    return [
        name.strip()
        for name in re.split(r", *", re.sub(r"\([^)]*\)|`[^`]*`", "", cell).strip())
        if name.strip()
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", without_examples(page)):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        local = not link.startswith(("https://", "http://"))
        if local and not (target.exists() and (not anchor or anchor in anchors(target))):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_in_the_text_exist(page: Path) -> None:
    assert [path for path in paths(without_examples(page)) if not (ROOT / path).exists()] == []


def test_a_path_is_recognized() -> None:
    assert paths("`sql/shared` `make -C extension` `psql` `a/b` `tests/none.py` `build/server`") == [
        "sql/shared",
        "extension",
        "tests/none.py",
    ]
    assert len(paths(without_examples(ARCHITECTURE))) > 50


@pytest.mark.parametrize("step", table("The life of one learning"), ids=lambda step: step[0])
def test_each_step_is_a_function_of_its_files(step: list[str]) -> None:
    _, _, functions, files = step
    text = "".join((ROOT / path).read_text(encoding="utf-8") for path in paths(files))
    names = [name.split(".")[-1] for name in re.findall(r"`([\w.]+)`", functions)]
    assert names
    defined = [name for name in names if re.search(rf"(function (\S+\.)?|def ){name}\(", text)]
    assert defined == names


@pytest.mark.parametrize("row", table("Where to find what"), ids=lambda row: row[0])
def test_each_topic_is_where_the_page_says(row: list[str]) -> None:
    _, shared, instance, authority, modules, tests = row
    places = [ROOT / "tests" / name for name in listed(tests)]
    for cell, folder in ((shared, "shared"), (instance, "singularity"), (authority, "centralcloud")):
        places += [ROOT / "sql" / folder / name for name in listed(cell)]
    places += [ROOT / f"python/singularity_bridge/{name}.py" for name in listed(modules)]
    assert places
    assert [place for place in places if not place.exists()] == []


def test_every_source_folder_and_module_is_found() -> None:
    rows = table("Where to find what")
    for column, folder in enumerate(("shared", "singularity", "centralcloud"), start=1):
        named = {name.split("/")[0] for row in rows for name in listed(row[column])}
        present = {path.name for path in (ROOT / "sql" / folder).iterdir() if path.is_dir()}
        assert named == present
    modules = {name for row in rows for name in listed(row[4])}
    bridge = {path.stem for path in (ROOT / "python/singularity_bridge").glob("[!_]*.py")}
    assert modules == bridge
    folders = {name for row in rows for name in listed(row[5])}
    kept = {path.parent.name for path in (ROOT / "tests").glob("*/*.py")}
    assert folders >= kept - {"kit"}
