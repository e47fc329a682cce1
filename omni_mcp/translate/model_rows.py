"""Rows of a LiteLLM `model_list` as our Router wants them: complete, in an order, their variables checked. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

from omni_mcp.translate.draft import Draft

Row = Mapping[str, Any]

ENVIRON = "os.environ/"
"""How LiteLLM names a variable."""

_PROVIDERS = (
    ("anthropic", "api.anthropic.com", ("claude",)),
    ("openrouter", "openrouter.ai", ()),
    ("gemini", "generativelanguage.googleapis.com", ("gemini",)),
    ("openai", "api.openai.com", ("gpt", "o1", "o3", "o4")),
)
"""LiteLLM's prefix, the host of its cloud, and how the names of its models begin."""

_VARIANTS = ("mini", "max", "nano", "lite", "small", "fast")
_CODING = ("auto-claude", "claude", "cod")
_GENERAL = ("auto-chat", "chat", "gpt", "general")


def rows_of(rows: Sequence[Any], draft: Draft, environment: Mapping[str, str]) -> None:
    """Write the rows into the draft; what is no row at all stays as it is and is refused there."""
    kept: list[Any] = []
    for number, row in enumerate(rows):
        if _is_wildcard(row):
            draft.note(
                ("model_list", str(number)),
                f"left out: {row['model_name']}",
                "names are checked against this list, so that a misspelt one is an error and not another model",
            )
            continue
        draft.origins["models", "model_list", str(len(kept))] = ("model_list", str(number))
        kept.append(_whole(row, number, len(kept), draft))
    draft.put(("models", "model_list"), with_variables(_ordered(kept, draft), environment), origin=("model_list",))
    if places := _count_variables(kept):
        what = f"{ENVIRON}NAME → ${{NAME}}, {places} times"
        draft.note(
            ("model_list",), what, "a row whose variable is not set is left out and reported, not called in vain"
        )


def with_variables(value: Any, environment: Mapping[str, str]) -> Any:
    """Return a value with LiteLLM's variables as `${NAME}`; what `environment_variables` says is their default."""
    if isinstance(value, str) and value.startswith(ENVIRON):
        name = value.removeprefix(ENVIRON)
        return f"${{{name}:-{environment[name]}}}" if name in environment else f"${{{name}}}"
    if isinstance(value, Mapping):
        return {key: with_variables(child, environment) for key, child in cast("Row", value).items()}
    if isinstance(value, list):
        return [with_variables(child, environment) for child in cast("list[Any]", value)]
    return value


def models_for(names: Iterable[str]) -> dict[str, str]:
    """Return which of these models serves which type of task, as far as their names tell."""
    known = list(dict.fromkeys(name for name in names if name and "*" not in name))
    if not known:
        return {}
    general = _best(known, _GENERAL) or known[0]
    return {"coding": _best(known, _CODING) or general, "general": general, "default": general}


def _best(names: Sequence[str], words: Sequence[str]) -> str | None:
    groups = ([name for name in names if word in name.lower()] for word in words)
    return min(
        next(filter(None, groups), ()), key=lambda name: (name.lower().endswith(_VARIANTS), len(name)), default=None
    )


def names_of(rows: Sequence[Any]) -> Sequence[str]:
    """Return the names of the models of a list."""
    tables = (cast("Row", row) for row in rows if isinstance(row, Mapping))
    return [str(row["model_name"]) for row in tables if "model_name" in row]


def _is_wildcard(row: Any) -> bool:
    return isinstance(row, Mapping) and "*" in str(cast("Row", row).get("model_name"))


def _whole(row: Any, number: int, place: int, draft: Draft) -> Any:
    """Return a row with `litellm_params`; the plan writes them beside the name."""
    if not isinstance(row, Mapping) or "litellm_params" in row or "model_name" not in row:
        return cast("Any", row)
    row = cast("Row", row)
    draft.origins["models", "model_list", str(place), "litellm_params"] = ("model_list", str(number))
    params = {key: value for key, value in row.items() if key not in ("model_name", "model_info")}
    params["model"] = params.get("model") or _with_provider(str(row["model_name"]), str(row.get("api_base") or ""))
    draft.note(
        ("model_list", str(number)),
        f"litellm_params: {{model: {params['model']}, …}}",
        "LiteLLM takes only rows with litellm_params, whose model begins with the provider",
    )
    rest = {key: row[key] for key in ("model_info",) if key in row}
    return {"model_name": row["model_name"], "litellm_params": params, **rest}


def _with_provider(name: str, base: str) -> str:
    """Return the model with LiteLLM's prefix: by its address, else its name, else that of most other clouds."""
    host = urlsplit(base).hostname or ""
    by_host = (prefix for prefix, cloud, _ in _PROVIDERS if host == cloud)
    like_openai = base.rstrip("/").endswith("/v1")  # how clouds that speak OpenAI's API write their address
    by_name = (prefix for prefix, _, begins in _PROVIDERS if begins and name.startswith(begins) and not like_openai)
    prefix = next(by_host, None) or next(by_name, None) or "openai"
    return name if name.startswith(f"{prefix}/") or (not host and "/" in name) else f"{prefix}/{name}"


def orders_of(rows: Sequence[Any]) -> Mapping[int, int]:
    """Return the order that is meant for each row that shares its name with others, none of which has one.

    It is that of `model_info.fallback_order`, which LiteLLM does not know, else that of the lines.
    """
    return {place: order for places in _shuffled(rows).values() for place, order in _orders(rows, places)}


def _ordered(rows: list[Any], draft: Draft) -> list[Any]:
    """Return the rows; those that share a name without any order get one."""
    for name, places in _shuffled(rows).items():
        _put_in_order(rows, places, name, draft)
    return rows


def _shuffled(rows: Sequence[Any]) -> Mapping[str, Sequence[int]]:
    """Return the places of the rows that share a name, and of which none has an order."""
    groups: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        if isinstance(row, Mapping) and isinstance(cast("Row", row).get("litellm_params"), Mapping):
            groups[str(cast("Row", row).get("model_name"))].append(place)
    return {
        name: places
        for name, places in groups.items()
        if len(places) > 1 and not any("order" in rows[place]["litellm_params"] for place in places)
    }


def _orders(rows: Sequence[Any], places: Sequence[int]) -> Iterable[tuple[int, int]]:
    wanted = {place: _wanted_order(rows[place], nth) for nth, place in enumerate(places, 1)}
    return ((place, order) for order, place in enumerate(sorted(places, key=lambda place: wanted[place]), 1))


def _put_in_order(rows: list[Any], places: Sequence[int], name: str, draft: Draft) -> None:
    for place, order in _orders(rows, places):
        rows[place] = {**rows[place], "litellm_params": {**rows[place]["litellm_params"], "order": order}}
    source = "fallback_order" if any("fallback_order" in _info(rows[place]) for place in places) else "their lines"
    draft.note(
        ("model_list", name),
        f"order 1 to {len(places)} added, from {source}",
        "without `order` LiteLLM shuffles rows of one name; fallback_order is no field of it",
    )


def _wanted_order(row: Row, nth: int) -> tuple[float, int]:
    said = _info(row).get("fallback_order")
    return (said if isinstance(said, int | float) else nth, nth)


def _info(row: Row) -> Row:
    info = row.get("model_info")
    return cast("Row", info) if isinstance(info, Mapping) else {}


def _count_variables(value: Any) -> int:
    if isinstance(value, str):
        return int(value.startswith(ENVIRON))
    children: Iterable[Any] = ()
    if isinstance(value, Mapping):
        children = cast("Row", value).values()
    elif isinstance(value, list):
        children = cast("list[Any]", value)
    return sum(map(_count_variables, children))
