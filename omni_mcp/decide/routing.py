"""Choose an executor. Pure: same task, rules and candidates, same answer."""

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from omni_mcp.decide.words import VOCABULARIES, any_of
from omni_mcp.servers_file.routing import PLAN_KEYWORDS, Routing, Rule
from omni_mcp.task import LADDER, SYSTEM_REPAIR, TaskSpec

GENERAL = "general"
"""What a text is that no word tells to be anything else."""
READ = 500
"""Characters in which known words are looked for: what is wanted stands there, what follows is often material."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An executor as routing sees it."""

    name: str
    handles: frozenset[str]
    trouble: str | None = None
    """Why it cannot take a task now, with the fix; None: it can."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """The answer: who takes it and why, or nobody and why."""

    requested: str
    """The executor that was wanted first."""
    executor: str | None
    type: str | None
    """The task type that was given or recognised."""
    reason: str
    steps: tuple[str, ...]
    """The reason at length: each rule that was tried, each executor that was passed over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """Who should take it, best first, before asking who can."""

    names: Sequence[str]
    type: str | None
    why: str
    steps: Sequence[str] = ()


def route(spec: TaskSpec, routing: Routing, candidates: Mapping[str, Candidate], *, bound: str | None = None) -> Route:
    """Choose: a pinned executor, else the rule of the given type, else the first rule that fits, else the default.

    `bound` names the one with which an earlier run may live: nobody else is asked then.
    """
    wanted = _wanted(spec, routing, candidates)
    if wanted.type == SYSTEM_REPAIR and LADDER in candidates:  # it needs no model, so it comes before any agent
        wanted = replace(wanted, names=[LADDER, *wanted.names], why=f"{wanted.why}; the scripted ladder comes first")
    if bound is not None:
        wanted = replace(wanted, names=[bound], why="its earlier run may live there")
    return _first_usable(wanted, candidates)


def _wanted(spec: TaskSpec, routing: Routing, candidates: Mapping[str, Candidate]) -> _Wanted:
    if spec.executor is not None:
        why = "asked for by the caller" + _meant_type(spec.type, routing, candidates)
        return _Wanted(names=[spec.executor], type=spec.type, why=why)
    if spec.type is not None:
        return _by_type(spec.type, routing, candidates)
    return _by_text(spec.description, routing)


def _by_type(task_type: str, routing: Routing, candidates: Mapping[str, Candidate]) -> _Wanted:
    named = f"type {task_type!r} was given"
    rule = next((r for r in routing.in_force if r.type == task_type), None)
    if rule is not None:
        return _Wanted(names=[rule.executor, *rule.fallback], type=task_type, why=named)
    able = sorted(c.name for c in candidates.values() if task_type in c.handles)
    if able:
        return _Wanted(names=able, type=task_type, why=f"{named} and handled by {', '.join(able)}")
    why = f"{named}, which nobody handles, so the default" + _meant_type(task_type, routing, candidates)
    return _Wanted(names=[routing.default], type=task_type, why=why)


def _meant_type(task_type: str | None, routing: Routing, candidates: Mapping[str, Candidate]) -> str:
    """Name the type that was probably meant; types are free, so another one is accepted."""
    known = {rule.type for rule in routing.in_force if rule.type}.union(*(c.handles for c in candidates.values()))
    if task_type is None or task_type in known:
        return ""
    near = difflib.get_close_matches(task_type, sorted(known), n=1)
    return f"; the nearest type known is {near[0]!r}" if near else ""


def _by_text(text: str, routing: Routing) -> _Wanted:
    rules = routing.in_force
    steps: list[str] = []
    for number, rule in enumerate(rules, 1):
        reading = _read(rule, text)
        steps.append(f"rule {number} ({rule.type or 'no type'}): {reading.said}")
        if reading.fits:
            steps += ["later rules were not asked: the first that fits wins"] if number < len(rules) else []
            return _Wanted(names=[rule.executor, *rule.fallback], type=rule.type, why=reading.said, steps=steps)
    return _Wanted(names=[routing.default], type=None, why="no rule fits, so the default", steps=steps)


@dataclass(frozen=True, slots=True)
class _Reading:
    """What a rule makes of a text."""

    fits: bool
    said: str


def _read(rule: Rule, text: str) -> _Reading:
    """Look for a word of the rule in the text. Without words it fits a given type; only `general` fits every text."""
    if not (rule.keywords or rule.builtin_words):
        return _without_words(rule)
    begin = text[:READ]
    if found := _own_word(rule, text) or _known_word(rule, _without_other_senses(rule, begin)):
        return _Reading(True, f"{found!r} in the text means {rule.type or 'this rule'}")
    if found := _known_word(rule, begin):
        return _Reading(False, f"{found!r} in the text means something else here")
    return _Reading(False, "none of its words is in the text")


def _without_words(rule: Rule) -> _Reading:
    if rule.type in (None, GENERAL):
        return _Reading(True, f"no other rule fits, so {rule.type or 'the last rule'}")
    return _Reading(False, "it has no words, so it takes only what is given as its type")


def _own_word(rule: Rule, text: str) -> str | None:
    """Return a keyword of the user's own that is in the text: it means what the rule says, always."""
    return _search(tuple(k for k in rule.keywords if not _known(k, rule)), text)


def _known_word(rule: Rule, text: str) -> str | None:
    """Return a word in the text whose other senses we know: one of the plan, or of our vocabulary."""
    if word := _search(tuple(k for k in rule.keywords if _known(k, rule)), text):
        return word
    found = VOCABULARIES[rule.type or ""].meaning.search(text) if rule.builtin_words else None
    return found and found.group()


def _known(keyword: str, rule: Rule) -> bool:
    return rule.type in VOCABULARIES and keyword.lower() in PLAN_KEYWORDS


def _without_other_senses(rule: Rule, text: str) -> str:
    vocabulary = VOCABULARIES.get(rule.type or "")
    return text if vocabulary is None else vocabulary.meaning_else.sub(" ", text)


def _search(keywords: tuple[str, ...], text: str) -> str | None:
    return next((keyword for keyword in keywords if _pattern(keyword).search(text)), None)


@lru_cache(maxsize=512)
def _pattern(keyword: str) -> re.Pattern[str]:
    return any_of((re.escape(keyword),))


def _first_usable(wanted: _Wanted, candidates: Mapping[str, Candidate]) -> Route:
    passed: list[str] = []
    taker = None
    for name in dict.fromkeys(wanted.names):
        trouble = _trouble(name, wanted.type, candidates)
        if trouble is None:
            taker = name
            break
        passed.append(f"{name} {trouble}")
    return Route(
        requested=wanted.names[0],
        executor=taker,
        type=wanted.type,
        reason="; ".join([wanted.why, *passed]) + (f" → {taker}" if taker else ""),
        steps=(
            *(wanted.steps or [wanted.why]),
            *(f"passed over: {trouble}" for trouble in passed),
            f"{taker} takes it" if taker else "nobody can take it",
        ),
    )


def _trouble(name: str, task_type: str | None, candidates: Mapping[str, Candidate]) -> str | None:
    """Say why it cannot take the task; a repair is given to nobody who does not keep to its commands."""
    candidate = candidates.get(name)
    if candidate is None:
        return "is not configured"
    if task_type == SYSTEM_REPAIR and SYSTEM_REPAIR not in candidate.handles:
        return "does not handle system_repair"
    if task_type != SYSTEM_REPAIR and name == LADDER:
        return "repairs LiteLLM and nothing else"
    return candidate.trouble
