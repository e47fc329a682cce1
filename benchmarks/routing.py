"""How often routing tells the type of a task, on texts set aside, against the plain keyword rule of the plan."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from omni_mcp.decide.routing import route
from omni_mcp.servers_file.routing import PLAN_KEYWORDS, Routing, Rule
from omni_mcp.task import TaskSpec

DATA = Path(__file__).parents[1] / "tests" / "data"
NINE_WORDS = Routing(
    rules=(Rule(type="coding", keywords=PLAN_KEYWORDS, executor="x"), Rule(type="general", executor="x"))
)


@dataclass(frozen=True, slots=True)
class Sample:
    """A text with what it is."""

    label: str
    language: str
    text: str


@dataclass(frozen=True, slots=True)
class Score:
    """How many were told right."""

    right: int
    of: int

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self.right / self.of

    def __str__(self) -> str:
        return f"{self.right}/{self.of} {self.share:.0%}"


Teller = Callable[[str], str | None]


def samples(half: str) -> Iterator[Sample]:
    """Yield the labelled texts of a half: `tune` or `held_out`."""
    tree: Mapping[str, Mapping[str, list[str]]] = yaml.safe_load((DATA / f"routing_{half}.yaml").read_text("utf-8"))
    for label, languages in tree.items():
        for language, texts in languages.items():
            yield from (Sample(label, language, text) for text in texts)


def of_the_plan(text: str) -> str:
    """Tell the type as the plan's sketch does: any of nine words anywhere means coding."""
    return "coding" if any(word in text.lower() for word in PLAN_KEYWORDS) else "general"


def with_nine_words(text: str) -> str | None:
    """Tell the type by a rule of servers.yaml that has the plan's nine words and nothing else."""
    return route(TaskSpec(description=text), NINE_WORDS, {}).type


def ours(text: str) -> str | None:
    """Tell the type by the default rules."""
    return route(TaskSpec(description=text), Routing(), {}).type


def score(teller: Teller, half: str, *, language: str = "", label: str = "") -> Score:
    """Count what a teller tells right in a half, of one language and one label if named."""
    asked = [s for s in samples(half) if language in ("", s.language) and label in ("", s.label)]
    return Score(sum(teller(s.text) == s.label for s in asked), len(asked))


def main() -> None:
    """Print the table of docs/routing.md."""
    print("| texts set aside | plan's rule | nine words, other senses known | default rules |\n|---|---|---|---|")
    for language, name in (("en", "English"), ("zh", "Chinese"), ("", "both")):
        for label in ("coding", "general", "always_on", ""):
            row = [score(t, "held_out", language=language, label=label) for t in (of_the_plan, with_nine_words, ours)]
            print(f"| {name}, {label or 'all'} | " + " | ".join(map(str, row)) + " |")


if __name__ == "__main__":
    main()
