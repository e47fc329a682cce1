"""Choose an executor. Pure: same task, rules and candidates, same answer."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from omni_mcp.settings import Routing, Rule
from omni_mcp.task import TaskSpec

GENERAL = "general"
"""What a text is that no keyword tells to be anything else."""
NOT_CODING = re.compile(
    r"写\s*(?:一?[封首篇份张个段条则些]|几[封首篇份句段])?\s*"
    r"(?:给|信|邮件|电邮|诗|文章|作文|小说|故事|歌词?|日记|祝福|贺卡|情书|演讲稿?|报告|总结|周报|简历|书评|散文|对联|文案|新闻稿)"
)
"""What `写` (write) writes when it writes no code: letters, mails, poems, reports."""


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


def route(spec: TaskSpec, routing: Routing, candidates: Mapping[str, Candidate]) -> Route:
    """Choose: a pinned executor, else the rule of the given type, else the first rule that fits, else the default."""
    if spec.executor is not None:
        return _first_usable(spec.type, "asked for by the caller", [spec.executor], candidates)
    if spec.type is not None:
        return _by_type(spec.type, routing, candidates)
    for rule in routing.in_force:
        if (why := _fits(rule, spec.description)) is not None:
            return _first_usable(rule.type, why, [rule.executor, *rule.fallback], candidates)
    return _first_usable(None, "no rule fits, so the default", [routing.default], candidates)


def _by_type(task_type: str, routing: Routing, candidates: Mapping[str, Candidate]) -> Route:
    named = f"type {task_type!r} was given"
    rule = next((r for r in routing.in_force if r.type == task_type), None)
    if rule is not None:
        return _first_usable(task_type, named, [rule.executor, *rule.fallback], candidates)
    able = sorted(c.name for c in candidates.values() if task_type in c.handles)
    if able:
        return _first_usable(task_type, f"{named} and handled by {', '.join(able)}", able, candidates)
    return _first_usable(task_type, f"{named}, which nobody handles, so the default", [routing.default], candidates)


def _fits(rule: Rule, text: str) -> str | None:
    """Return why the rule fits, else None. Without keywords it fits a given type; only `general` fits every text."""
    if not rule.keywords and rule.type not in (None, GENERAL):
        return None
    if not rule.keywords:
        return f"no other rule fits, so {rule.type or 'the last rule'}"
    found = next(_found(rule.keywords, text), None)
    return None if found is None else f"{found!r} in the text means {rule.type or 'this rule'}"


def _found(keywords: Sequence[str], text: str) -> Iterator[str]:
    plain = NOT_CODING.sub(" ", text)
    return (keyword for keyword in keywords if _pattern(keyword).search(plain))


@lru_cache(maxsize=512)
def _pattern(keyword: str) -> re.Pattern[str]:
    """Latin keywords count as whole words only (`go` is not in `good`); Chinese has no word borders."""
    word = re.escape(keyword)
    return re.compile(rf"(?<![A-Za-z0-9_]){word}(?![A-Za-z0-9_])" if keyword.isascii() else word, re.IGNORECASE)


def _first_usable(task_type: str | None, why: str, names: Sequence[str], candidates: Mapping[str, Candidate]) -> Route:
    passed: list[str] = []
    for name in dict.fromkeys(names):
        trouble = _trouble(name, candidates)
        if trouble is None:
            return Route(
                requested=names[0], executor=name, type=task_type, reason="; ".join([why, *passed]) + f" → {name}"
            )
        passed.append(f"{name} {trouble}")
    return Route(requested=names[0], executor=None, type=task_type, reason="; ".join([why, *passed]))


def _trouble(name: str, candidates: Mapping[str, Candidate]) -> str | None:
    candidate = candidates.get(name)
    return "is not configured" if candidate is None else candidate.trouble
