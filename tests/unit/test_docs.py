"""What the docs name is there, and the README says the same in both languages."""

import json
import re
from pathlib import Path

import pytest

from tools.reference import FACE, pages

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PLACE = re.compile(r"`((?:omni_mcp|tests|docs|benchmarks|\.ci)/[\w./-]+|[\w.-]+\.(?:md|toml|yaml)|Makefile|LICENSE)`")
LANGUAGES = ("README.md", "README.zh-CN.md")


def text_of(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_every_place_that_the_page_of_the_plan_names_is_there() -> None:
    named = set(PLACE.findall(text_of("docs/from-the-plan.md")))
    assert len(named) > 40
    assert {place for place in named if not (ROOT / place).exists()} == set()


@pytest.mark.parametrize("line", ["omni-mcp install", "omni-mcp executors", "omni-mcp serve", "omni-mcp list"])
def test_the_page_of_the_plan_names_commands_that_there_are(line: str) -> None:
    command = line.split()[1]
    assert line in text_of("docs/from-the-plan.md")
    assert any(re.search(rf"def {command}_?\(", file.read_text()) for file in (ROOT / "omni_mcp/cli").glob("*.py"))


def test_both_readmes_have_the_same_sections() -> None:
    assert len(set(map(levels, map(text_of, LANGUAGES)))) == 1


def levels(text: str) -> tuple[str, ...]:
    return tuple(re.findall(r"^(#+) ", FENCE.sub("", text), re.MULTILINE))


def test_both_readmes_show_the_same_code() -> None:
    english, chinese = (blocks(text_of(name)) for name in LANGUAGES)
    assert english == chinese


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """Return the code blocks without comments; the picture without a language is words throughout."""
    return [(kind, [uncommented(line) for line in body.splitlines()]) for kind, body in FENCE.findall(text) if kind]


def uncommented(line: str) -> str:
    """Return a line without its comment, and without the words of a task, which are in the reader's language."""
    return re.sub(r'(route) ".*"', r'\1 "…"', re.sub(r"\s+# .*", "", line))


def test_both_readmes_have_the_same_tables_and_lead_to_the_same_pages() -> None:
    english, chinese = map(text_of, LANGUAGES)
    assert rows(english) == rows(chinese)
    assert links(english) - {"README.zh-CN.md"} == links(chinese) - {"README.md"}


def rows(text: str) -> list[str]:
    return re.findall(r"^\| (`\w+`)", text, re.MULTILINE)


def links(text: str) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", text))


PAGES = [
    *(ROOT / name for name in (*LANGUAGES, "CONTRIBUTING.md", "CHANGELOG.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    lost: list[str] = []
    for link in links(FENCE.sub("", page.read_text(encoding="utf-8"))):
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not re.match(r"\w+:", link) and not (target.exists() and (not anchor or anchor in anchors(target))):
            lost.append(link)
    assert lost == []


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)", FENCE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_pages_of_commands_tools_and_errors_are_those_of_the_source() -> None:
    made = pages(json.loads(FACE.read_text(encoding="utf-8")))
    assert {name: text_of(f"docs/{name}") for name in made} == made, "renew them: make reference"
