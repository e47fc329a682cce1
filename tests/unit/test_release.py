"""A tag becomes a release when package and changelog say so; the packaged README leads to the files of its tag."""

import pytest

from tools.release import ROOT, NotReady, absolute, notes, version

TAG = f"v{version()}"
CHANGELOG = f"""# Changelog

## [Unreleased]

- new

## [{version()}] - 2026-11-30

- this

## [0.0.1] - 2025-01-01

- old
"""


def test_the_notes_of_a_tag_are_its_part_of_the_changelog() -> None:
    assert notes(TAG, CHANGELOG) == "- this"


@pytest.mark.parametrize(
    ("tag", "changelog", "why"),
    [
        ("v99.0.0", CHANGELOG, "the package v"),
        ("1.0", CHANGELOG, "the package v"),
        (TAG, CHANGELOG.replace(" - 2026-11-30", ""), "YYYY-MM-DD"),
        (TAG, CHANGELOG.replace("- this", ""), "with text"),
        (TAG, "# Changelog\n\n## [Unreleased]\n\n- new\n", "rename Unreleased"),
    ],
)
def test_a_tag_that_is_not_ready_is_told_what_to_do(tag: str, changelog: str, why: str) -> None:
    with pytest.raises(NotReady, match=why):
        notes(tag, changelog)


def test_links_of_the_readme_lead_to_the_files_of_the_tag() -> None:
    page = "[a](docs/a.md#b) [![p](docs/p.png)](docs/q.md) [out](https://x.example/) [here](#here)"
    there = "https://github.com/o/n"
    assert absolute(page, there, "v1") == (
        f"[a]({there}/blob/v1/docs/a.md#b) [![p]({there}/raw/v1/docs/p.png)]({there}/blob/v1/docs/q.md) "
        "[out](https://x.example/) [here](#here)"
    )


def test_no_link_of_the_readme_in_the_package_is_relative() -> None:
    made = absolute((ROOT / "README.md").read_text(encoding="utf-8"), "https://github.com/o/n", "v1")
    assert "](docs/" not in made
    assert "](https://github.com/o/n/raw/v1/docs/pictures/now-light.png)" in made
