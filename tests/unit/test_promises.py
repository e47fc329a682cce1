"""Every claim of the README has something that shows it: `docs/promises.toml` says what."""

import pytest
import yaml

from tools.promises import README, ROOT, claims, exists, manifest, sections

CLAIMS = claims(README.read_text(encoding="utf-8"))
PROMISES = manifest()
QUOTES = [(section, quote) for section, quotes in PROMISES.items() for quote in quotes]


@pytest.mark.parametrize("section", CLAIMS)
def test_every_claim_of_the_readme_has_an_entry(section: str) -> None:
    quotes = PROMISES.get(section, {})
    assert [claim for claim in CLAIMS[section] if not any(quote in claim for quote in quotes)] == []


@pytest.mark.parametrize(("section", "quote"), QUOTES)
def test_every_entry_quotes_one_claim_of_its_section_and_names_what_shows_it(section: str, quote: str) -> None:
    assert sum(quote in claim for claim in CLAIMS.get(section, ())) == 1
    assert PROMISES[section][quote]
    assert [proof for proof in PROMISES[section][quote] if not exists(proof)] == []


def test_the_chinese_readme_claims_as_much_in_the_same_order() -> None:
    english, chinese = (
        [[block[0] if block[0] in "-|$" else "words" for block in blocks] for blocks in sections(text).values()]
        for text in (README.read_text(encoding="utf-8"), (ROOT / "README.zh-CN.md").read_text(encoding="utf-8"))
    )
    assert english == chinese


def test_a_claim_is_a_sentence_a_row_or_a_command() -> None:
    words, table = "It does\nthis. It does that.\n\n- One. Two.", "| x | y |\n|---|---|\n| `a` | b |"
    page = f"# A\n\n{words}\n\n{table}\n\n```sh\nrun it\n```\n"
    assert claims(page) == {"A": ["It does this.", "It does that.", "- One.", "Two.", "| `a` | b |", "$ run it"]}


def test_what_does_not_exist_is_no_proof() -> None:
    assert exists("make test")
    assert exists("tests/unit/test_promises.py::test_what_does_not_exist_is_no_proof")
    wrong = ("make nothing", "tests/unit/test_promises.py::test_nothing", "tests/nowhere.py::test_nothing", "words")
    assert not any(map(exists, wrong))


def test_ci_has_every_python_that_is_promised() -> None:
    ci = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    assert ci["jobs"]["test"]["strategy"]["matrix"]["python"][0] == "3.11"
    assert 'requires-python = ">=3.11"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")
