"""What the README claims and what shows it: `docs/promises.toml` quotes each claim and names its proof.

A claim is a sentence, a row of a table or a command line of the README. A proof is a test (`tests/…::test_…`) or a
target of the Makefile (`make bench`). `tests/unit/test_promises.py` fails for a claim without a proof, a quote that is
not there any more, and a proof that does not exist. `python -m tools.promises` prints the tests, for `make promises`.
"""

import ast
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
MANIFEST = ROOT / "docs" / "promises.toml"

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
HEAD_OF_TABLE = re.compile(r"^\|.*\n\|[-|]+\|$", re.MULTILINE)
BLOCK = re.compile(r"\n\s*\n|\n(?=[-|$] )")
"""Between two blocks: an empty line, or the begin of a bullet, a row or a command."""
SENTENCE = re.compile(r"(?<=[.)])\s+(?=[A-Z`])")
"""Between two sentences."""
NO_CLAIM = re.compile(r"\[(!|中文|English)|$")
"""A picture, the way to the other language, nothing."""


def claims(text: str) -> Mapping[str, Sequence[str]]:
    """Return the claims of a page, by the headings of its sections, each on one line."""
    return {heading: list(_sentences(blocks)) for heading, blocks in sections(text).items()}


def _sentences(blocks: Sequence[str]) -> Iterator[str]:
    for block in blocks:
        yield from [block] if block[0] in "|$" else SENTENCE.split(block)


def sections(text: str) -> Mapping[str, Sequence[str]]:
    """Return the blocks of each section: paragraphs, bullets (`- `), rows (`| `) and commands (`$ `)."""
    _, *parts = HEADING.split(HEAD_OF_TABLE.sub("", FENCE.sub(_commands, text)))
    return {heading: _blocks(body) for heading, body in zip(parts[::2], parts[1::2], strict=True)}


def _commands(fence: re.Match[str]) -> str:
    return "".join(f"$ {line}\n" for line in fence[2].splitlines() if line) if fence[1] == "sh" else ""


def _blocks(body: str) -> Sequence[str]:
    joined = (" ".join(block.split()) for block in BLOCK.split(body))
    return [block for block in joined if not NO_CLAIM.match(block)]


def manifest() -> Mapping[str, Mapping[str, Sequence[str]]]:
    """Return the proofs by section and quote."""
    return tomllib.loads(MANIFEST.read_text(encoding="utf-8"))


def exists(proof: str) -> bool:
    """Whether there is such a test, or such a target."""
    if proof.startswith("make "):
        return proof.removeprefix("make ") in _targets()
    file, _, name = proof.partition("::")
    return name in _tests_of(file)


@cache
def _targets() -> frozenset[str]:
    return frozenset(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@cache
def _tests_of(file: str) -> frozenset[str]:
    path = ROOT / file
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    functions = (each for each in tree.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(each.name for each in functions if each.name.startswith("test_"))


def main() -> None:
    """Print every test that shows something, once."""
    proofs = (proof for quotes in manifest().values() for shown in quotes.values() for proof in shown)
    print("\n".join(dict.fromkeys(proof for proof in proofs if "::" in proof)))  # noqa: T201 - it is asked for by make


if __name__ == "__main__":
    main()
