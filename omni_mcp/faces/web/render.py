"""Turns views into pages, in the language and look of whoever asks. Templates escape everything; none says `safe`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, cast

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request

from omni_mcp import __version__
from omni_mcp.decide.answering import choices, fields_of
from omni_mcp.decide.times import in_words
from omni_mcp.faces.icon import SVG
from omni_mcp.faces.text.task import attempt_cost, cost_line, standing
from omni_mcp.faces.text.tasks import cost_cell
from omni_mcp.faces.text.words import money, visible
from omni_mcp.lang import ENGLISH, LANGUAGES, say_in
from omni_mcp.task import SHORT_ID, SYSTEM_REPAIR, TERMINAL, TaskState
from omni_mcp.views.task import TaskView

LOOK = "omni_look"
"""The cookie with what somebody chose: `dark.zh`."""
THEMES = ("auto", "light", "dark")


@dataclass(frozen=True, slots=True)
class Look:
    """How somebody wants to see the page."""

    theme: str = "auto"
    """Of the page; `auto` leaves it to the system."""
    language: str = ENGLISH
    chosen: bool = False
    """Whether the language was chosen here, not taken from the browser."""

    @classmethod
    def of(cls, request: Request) -> "Look":
        """Return what was chosen, else what the browser says."""
        theme, _, language = request.cookies.get(LOOK, "").partition(".")
        chosen = language in LANGUAGES
        return cls(
            theme=theme if theme in THEMES else "auto",
            language=language if chosen else preferred(request.headers.get("accept-language", "")),
            chosen=chosen,
        )

    @property
    def cookie(self) -> str:
        """What is remembered of it."""
        return f"{self.theme}.{self.language if self.chosen else ''}"


def preferred(accepted: str) -> str:
    """Return the first language of an Accept-Language header that there is, by weight, else English."""
    weighed: list[tuple[float, str]] = []
    for each in accepted.split(","):
        tag, _, weight = each.strip().partition(";q=")
        try:
            weighed.append((-float(weight or 1), tag.partition("-")[0].lower()))
        except ValueError:
            continue
    spoken = [tag for weight, tag in sorted(weighed, key=lambda pair: pair[0]) if tag in LANGUAGES and weight < 0]
    return spoken[0] if spoken else ENGLISH


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a page: the words of others in it are escaped already."""

    inside: Markup
    mark: str
    """Says whether a browser has it."""


@dataclass(frozen=True, slots=True)
class Renderer:
    """Fills templates for one request."""

    look: Look
    known: Mapping[str, Any]
    """What every template of this request may use."""

    def page(self, name: str, **values: Any) -> str:
        """Return a whole page, or the inside of one of its live parts."""
        return (
            _environment()
            .get_template(name)
            .render({**self.known, **values, "look": self.look, "lang": self.look.language, "_": self.say})
        )

    def part(self, name: str, **values: Any) -> "Part":
        """Return a part of a page that is kept up to date."""
        inside = self.page(name, **values)
        return Part(Markup(inside), hashlib.sha256(inside.encode(errors="replace")).hexdigest()[:16])  # noqa: S704

    def say(self, text: object, task: str = "") -> str:
        """Say our words in the language of the page; `task` fills what a message leaves open."""
        return say_in(self.look.language, str(text), **({"task": task[:SHORT_ID]} if task else {}))


@cache
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("omni_mcp.faces.web"),
        autoescape=True,
        auto_reload=False,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters = (ago, choices, clock, day, hour, money, percent, seen, short)
    cast("dict[str, Any]", made.filters).update({each.__name__: each for each in filters}, fields=fields_of)
    cast("dict[str, Any]", made.globals).update(_known())
    return made


def _known() -> Mapping[str, Any]:
    """Return what every template may use."""
    return {
        "STATES": [state.value for state in TaskState],
        "LOGO": Markup(SVG.decode()),  # noqa: S704 - a file of ours
        "attempt_cost": attempt_cost,
        "cost_cell": cost_cell,
        "cost_line": cost_line,
        "is_over": _is_over,
        "is_repair": _is_repair,
        "pretty": pretty,
        "standing": standing,
        "version": __version__,
        "words": in_words,
    }


def _is_over(task: TaskView) -> bool:
    return task.state in TERMINAL


def _is_repair(task: TaskView) -> bool:
    return task.type == SYSTEM_REPAIR


def clock(when: datetime) -> str:
    """Return a time as clocks show it here."""
    return f"{when.astimezone():%Y-%m-%d %H:%M:%S}"


def ago(when: datetime) -> Markup:
    """Return a time that the page's script shows as how long ago it is, and goes on counting."""
    said = clock(when)
    return Markup('<time datetime="{}" title="{}" data-ago>{}</time>').format(when.isoformat(), said, said)


def day(when: datetime) -> str:
    """Return a day as calendars show it here."""
    return f"{when.astimezone():%Y-%m-%d}"


def hour(when: datetime) -> str:
    """Return a time of the day as clocks show it here."""
    return f"{when.astimezone():%H:%M:%S}"


def short(task_id: str) -> str:
    """Return as much of an id as people are shown."""
    return task_id[:SHORT_ID]


def seen(text: str) -> str:
    """Return the words of an executor without what hides or turns round what stands beside it."""
    return "\n".join(map(visible, text.splitlines()))


def percent(part: float, whole: float) -> int:
    """Return a share in whole percent, at most all."""
    return min(100, round(100 * part / whole)) if whole > 0 else 0


def pretty(value: object) -> str:
    """Return a value as JSON that people can read."""
    return json.dumps(value, ensure_ascii=False, indent=2, default=str)
