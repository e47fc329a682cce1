"""What no row can know by itself: whether others have the names that it gives, and they lead in no circle. Pure."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any, cast

from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.task import LADDER
from omni_mcp.translate.draft import nearest
from omni_mcp.yaml_file import Flaw, KeyPath

OFFERED = frozenset({"claude_code", "openclaw", "moltworker", "assistant", "codex"})
"""Executors that rules may name before they are configured: they count as not usable until then."""

FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
"""Where LiteLLM's Router goes on with another model, and from there with the next."""


def crossed(tree: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what is wrong between the rows of a file, its variables filled in."""
    executors = _table(tree.get("executors", dict.fromkeys(ServersFile().executors)))
    if LADDER in executors:
        what = f"{LADDER!r} is the name of the executor that repairs LiteLLM by a script"
        yield Flaw(path=("executors", LADDER), what=what, fix="give it another name")
    yield from _routing(_table(tree.get("routing")), executors.keys() | OFFERED)
    models = _table(tree.get("models"))
    names = {str(row["model_name"]) for row in _list(models.get("model_list")) if "model_name" in _table(row)}
    if names:
        yield from _chosen(_table(models.get("for")), names)
        for name in _table(models.get("daily_usd")):
            yield from _known(("models", "daily_usd", name), name, names, "model")
        yield from _fallbacks(_table(models.get("router_settings")), names)


def _routing(routing: Mapping[str, Any], executors: Collection[str]) -> Iterator[Flaw]:
    yield from _known(("routing", "default"), routing.get("default"), executors, "executor")
    for number, rule in enumerate(_list(routing.get("rules"))):
        path = ("routing", "rules", str(number))
        first = _table(rule).get("executor")
        yield from _known((*path, "executor"), first, executors, "executor")
        yield from _chain((*path, "fallback"), [first, *_list(_table(rule).get("fallback"))], executors)


def _chain(path: KeyPath, names: list[Any], executors: Collection[str]) -> Iterator[Flaw]:
    """Yield the fallbacks of a rule that are unknown, or would come to an executor that was tried before."""
    for place, name in enumerate(names[1:]):
        where = (*path, str(place))
        yield from _known(where, name, executors, "executor")
        if name in names[: place + 1]:
            fix = "name each executor once: a task is not given twice to the same"
            yield Flaw(path=where, what=f"{name!r} comes round again", fix=fix)


def _known(path: KeyPath, name: Any, names: Collection[str], kind: str) -> Iterator[Flaw]:
    """Yield a flaw for a name that nobody has; it costs nothing, because what it is in says so when it is used."""
    if isinstance(name, str) and name not in names:
        near = nearest(name, names)
        fix = f"did you mean {near!r}?" if near else f"there are: {', '.join(sorted(names))}"
        yield Flaw(path=path, what=f"no {kind} is called {name!r}", fix=fix, costs=False)


def _chosen(chosen: Mapping[str, Any], names: Collection[str]) -> Iterator[Flaw]:
    for task_type, name in chosen.items():
        yield from _known(("models", "for", task_type), name, names, "model")


def _fallbacks(router: Mapping[str, Any], names: Collection[str]) -> Iterator[Flaw]:
    for setting in FALLBACKS:
        path = ("models", "router_settings", setting)
        edges = {str(name): _list(to) for each in _list(router.get(setting)) for name, to in _table(each).items()}
        for name in (name for name in {*edges, *(to for row in edges.values() for to in row)} if name != "*"):
            yield from _known(path, name, names, "model")
        if circle := _circle(edges):
            fix = "let the last model have no fallback: a call would go round until it has failed often enough"
            yield Flaw(path=path, what=f"goes in a circle: {' → '.join(circle)}", fix=fix)


def _circle(edges: Mapping[str, list[Any]]) -> list[str] | None:
    """Return the first way that comes back to where it began."""
    ways = [[name] for name in edges]
    while ways:
        way = ways.pop(0)
        for name in map(str, edges.get(way[-1], [])):
            if name == way[0]:
                return [*way, name]
            if name not in way:
                ways.append([*way, name])
    return None


def _table(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return cast("list[Any]", value) if isinstance(value, list) else []
