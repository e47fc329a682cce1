"""`routing`: who gets what."""

from typing import Self

from pydantic import model_validator

from omni_mcp.servers_file.row import Row


class Rule(Row):
    """One routing rule; the first that fits wins."""

    executor: str
    """Who takes the task."""
    type: str | None = None
    """The type of a task that it takes, and gives to a text with one of its words."""
    keywords: tuple[str, ...] = ()
    """Words that mean this rule, in any language."""
    builtin_words: bool = False
    """Besides the keywords, use what this package knows of the type (`coding`, `always_on`)."""
    fallback: tuple[str, ...] = ()
    """Executors that take the task, in this order, when the first cannot be used."""

    @model_validator(mode="after")
    def _knows_words(self) -> Self:
        if self.builtin_words and self.type not in ("coding", "always_on"):
            raise ValueError("has builtin_words, which there are only for type coding and type always_on")
        return self


PLAN_KEYWORDS = ("代码", "编程", "函数", "写", "python", "js", "java", "rust", "go")
"""The nine words of the plan that mean coding."""
PLAN_RULES = (
    Rule(type="always_on", builtin_words=True, executor="moltworker", fallback=("openclaw", "assistant")),
    Rule(type="coding", keywords=PLAN_KEYWORDS, builtin_words=True, executor="claude_code", fallback=("assistant",)),
    Rule(type="general", executor="openclaw", fallback=("assistant",)),
)


class Routing(Row):
    """Who gets what."""

    rules: tuple[Rule, ...] = PLAN_RULES
    """First match wins; without any those of docs/routing.md."""
    default: str = "assistant"
    """Who takes a task that no rule fits and nobody handles."""

    @property
    def in_force(self) -> tuple[Rule, ...]:
        """The rules of the file; without any the plan's, whose last resort is the default of the file."""
        if "rules" in self.model_fields_set:
            return self.rules
        return tuple(rule.model_copy(update={"fallback": (*rule.fallback, self.default)}) for rule in PLAN_RULES)
