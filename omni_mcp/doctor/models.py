"""The model layer: whether what serves the calls answers, knows our key and our names, and keeps its order."""

import difflib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from omni_mcp.doctor.finding import AN_EDIT, Finding, Severity, note, ok
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.settings_file import given
from omni_mcp.doctor.shell import edit, first_keys, ours, replaced
from omni_mcp.servers_file.models import Gateway
from omni_mcp.settings import GITHUB_KEY
from omni_mcp.this_machine import leads_here

if TYPE_CHECKING:
    import httpx

LIMIT = 3.0
"""Seconds for one question to a gateway; 3 ms to 10 ms were measured."""
REFUSED = (400, 401, 403)
"""What LiteLLM says to a wrong key: without its database 400 (`No connected db.`)."""
GATEWAY = ("models", "gateway")

_REFERENCE = re.compile(r"\$\{(\w+)(:-[^}]*)?\}")


def gateway(scene: Scene) -> Iterator[Finding]:
    """Ask the LiteLLM proxy whether it lives, takes our key, has our models, and tries their layers in order."""
    row = scene.settings.servers.models.gateway
    if row is None:
        return
    import httpx

    outside = not leads_here(row.base_url)  # as the engine's own calls: what is here is asked past any proxy
    key = {"Authorization": f"Bearer {row.api_key.get_secret_value()}"} if row.api_key else {}
    with httpx.Client(base_url=row.base_url, headers=key, timeout=LIMIT, trust_env=outside) as client:
        try:
            alive = client.get("/health/liveliness")
            listed = client.get("/v1/models")
            layers = client.get("/model/info")
        except httpx.HTTPError as error:
            yield _down(row, f"{type(error).__name__}: {error}", scene)
            return
    if alive.status_code != 200 and listed.status_code != 200:
        yield _down(row, f"status {alive.status_code}", scene)
    elif listed.status_code in REFUSED:
        yield _key_refused(row, listed.status_code, scene)
    elif _names(listed) is None:
        yield _down(row, f"what is there lists no models: status {listed.status_code}", scene)
    else:
        yield ok("gateway", f"the gateway at {row.base_url} answers and takes our key")
        yield from _unknown(_names(listed) or (), scene)
        yield from _proxy_layers(layers, scene)


def _down(row: Gateway, why: str, scene: Scene) -> Finding:
    return Finding(
        code="gateway-down",
        severity=Severity.ERROR,
        text=f"the gateway at {row.base_url} does not serve ({why}): no model call can be answered",
        fix=edit(scene.home.servers, scene.line(*GATEWAY, "base_url")),
        needs=f"your LiteLLM proxy to be started, or {AN_EDIT} of base_url",
    )


def _key_refused(row: Gateway, status: int, scene: Scene) -> Finding:
    path = (*GATEWAY, "api_key")
    name = _REFERENCE.fullmatch(str(scene.written(path)))
    return Finding(
        code="gateway-key",
        severity=Severity.ERROR,
        text=f"the gateway at {row.base_url} refuses our key: status {status}",
        about=name[1] if name else None,
        fix=given(name[1], scene) if name else edit(scene.home.servers, scene.line(*path)),
        needs=f"the value of {name[1]}" if name else AN_EDIT,
    )


def _names(listed: "httpx.Response") -> Sequence[str] | None:
    """Return the models that a gateway lists; None when that is no list."""
    try:
        return [str(row["id"]) for row in listed.json()["data"]]
    except (ValueError, KeyError, TypeError):
        return None


def own_models(scene: Scene) -> Iterator[Finding]:
    """Look at `model_list`: names that nobody has, and layers of one name that are shuffled."""
    rows = scene.settings.servers.models.model_list
    if not rows:
        return
    yield ok("models", f"{len(rows)} rows in model_list")
    yield from _unknown(_own_names(rows, scene), scene)
    yield from _own_layers(rows, scene)


def _own_names(rows: Sequence[Mapping[str, Any]], scene: Scene) -> Sequence[str]:
    """Return the names of all rows, also of those that cannot be used: what is wrong with them is told elsewhere."""
    numbers = range(len(scene.written(("models", "model_list")) or ()))
    written = [scene.written(("models", "model_list", str(number), "model_name")) for number in numbers]
    return [str(name) for name in (*(row["model_name"] for row in rows), *written) if name]


def _unknown(known: Sequence[str], scene: Scene) -> Iterator[Finding]:
    """Yield each name that is asked for and not served; a gateway's `*` serves whatever it is asked for."""
    if any("*" in name for name in known):
        return
    for path, name in _asked_for(scene):
        if name not in known:
            yield _no_model(path, name, known, scene)


def _asked_for(scene: Scene) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield each model that the settings name, and where; `for` of a `model_list` is checked with the settings."""
    models = scene.settings.servers.models
    if models.gateway is not None:
        yield from ((("models", "for", kind), name) for kind, name in models.use.items())
        yield from (((*GATEWAY, "for", kind), name) for kind, name in models.gateway.use.items())
    for name, row in scene.settings.servers.executors.items():
        if row.model and scene.specs[name].relayed:
            yield ("executors", name, "model"), row.model


def _no_model(path: tuple[str, ...], name: str, known: Sequence[str], scene: Scene) -> Finding:
    near, line = difflib.get_close_matches(name, known, n=1), scene.line(*path)
    fix = replaced(scene.home.servers, line, name, near[0]) if near and line and scene.may_be_edited else None
    has = ", ".join(sorted(set(known))[:10]) or "none"
    return Finding(
        code="model-unknown",
        severity=Severity.ERROR,
        text=f"{'.'.join(path)} names {name!r}, which is not served; there are: {has}",
        about=name,
        fix=fix or edit(scene.home.servers, line),
        needs=None if fix else AN_EDIT,
    )


def _own_layers(rows: Sequence[Mapping[str, Any]], scene: Scene) -> Iterator[Finding]:
    names: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        names[str(row["model_name"])].append(number)
    for name, numbers in names.items():
        if _shuffled([rows[number]["litellm_params"] for number in numbers]):
            fix = _in_order(numbers, scene)
            yield _layers(name, len(numbers), fix=fix or edit(scene.home.servers), needs=None if fix else AN_EDIT)


def _in_order(numbers: Sequence[int], scene: Scene) -> str | None:
    """Return the command that writes `order: 1`, `order: 2`, … into the layers, as they stand in the file."""
    firsts = [_first_key(("models", "model_list", str(number), "litellm_params"), scene) for number in numbers]
    places = [(*first, f"order: {place}") for place, first in enumerate(firsts, 1) if first]
    return first_keys(scene.home.servers, places) if len(places) == len(numbers) else None


def _first_key(path: tuple[str, ...], scene: Scene) -> tuple[int, str] | None:
    """Return the line and name of the first key of a layer; None where a pair cannot be put before it by a line."""
    params, begins = scene.written(path), scene.line(*path)
    if not params or "order" in params or begins is None or not scene.may_be_edited:
        return None
    line = scene.line(*path, first := next(iter(params)))
    in_braces = "{" in scene.home.servers.read_text(encoding="utf-8").splitlines()[begins - 1]
    return (line, first) if line and first.isidentifier() and in_braces == (line == begins) else None


def _proxy_layers(info: "httpx.Response", scene: Scene) -> Iterator[Finding]:
    """Yield the models of a proxy whose layers are shuffled, where it tells."""
    layers: dict[str, list[Any]] = defaultdict(list)
    seen: set[tuple[str, str]] = set()
    try:
        for number, row in enumerate(info.json()["data"]):
            name, layer = str(row["model_name"]), str(dict[str, Any](row.get("model_info") or ()).get("id", number))
            if (name, layer) not in seen:  # a name that is its own model_group_alias is listed twice
                layers[name].append(row["litellm_params"])
            seen.add((name, layer))
    except (ValueError, KeyError, TypeError, AttributeError):
        return
    for name, rows in layers.items():
        if _shuffled(rows):
            fix, needs = _in_order_there(scene)
            yield _layers(name, len(rows), fix=fix, needs=needs)


def _in_order_there(scene: Scene) -> tuple[str, str]:
    """Return the command that changes the proxy's own file, which is not ours to change unasked, and what it needs."""
    repair = scene.settings.servers.fault_handler.repair
    restart = (
        "your consent: it shows what it changes in the proxy's file, keeps a copy, and the proxy has to be restarted"
    )
    if repair is not None and repair.config is not None:
        return f"{ours(scene.home, 'layers', str(repair.config))} --yes", restart
    fix = f'{ours(scene.home, "layers")} "${{LITELLM_CONFIG:?is the config.yaml of your proxy}}" --yes'
    return fix, f"LITELLM_CONFIG to name that file, and {restart}"


def _shuffled(layers: Iterable[Mapping[str, Any]]) -> bool:
    """Whether LiteLLM chooses among them by chance: several, and no `order` that tells them apart."""
    orders = [layer.get("order") for layer in layers]
    return len(orders) > 1 and (None in orders or len(set(orders)) == 1)


def _layers(name: str, count: int, *, fix: str, needs: str | None) -> Finding:
    return Finding(
        code="layers-shuffled",
        severity=Severity.WARNING,
        text=f"{name} has {count} layers without litellm_params.order, so LiteLLM takes one by chance, not the first",
        about=name,
        fix=fix,
        needs=needs,
        safe=needs is None,
    )


def backup_keys(scene: Scene) -> Iterator[Finding]:
    """Say whether there is a key for the time when LiteLLM is broken."""
    if not scene.settings.servers.models.configured:
        return
    if keys := sorted(scene.settings.backup_keys):
        yield ok("backup-key", f"with LiteLLM broken, calls go to {', '.join(keys)}")
    else:
        text = f"no backup key: with LiteLLM broken, tasks wait. {GITHUB_KEY} gives one to every direct provider"
        yield note("no-backup-key", text, fix=given(GITHUB_KEY, scene), needs=f"the value of {GITHUB_KEY}")
