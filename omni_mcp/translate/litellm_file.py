"""A configuration of the LiteLLM proxy, and the plan's own, which is one with three keys more.

What a proxy is configured with beyond models and routing stays with the proxy. What LiteLLM takes for granted but does
not do is mended and said (facts from running it, version 1.106: `order`, `num_retries`, `temperature`).
"""

from collections.abc import Mapping
from typing import Any, cast

from omni_mcp.servers_file.models import CallDefaults, LitellmSettings
from omni_mcp.translate.draft import Draft, Tree, nearest
from omni_mcp.translate.executor_rows import executors_of
from omni_mcp.translate.model_rows import ENVIRON, models_for, names_of, rows_of, with_variables

PROXY = frozenset({
    "general_settings", "environment_variables", "callbacks", "guardrails", "credential_list", "include",
    "vector_store_registry", "search_tools", "files_settings", "finetune_settings", "assistant_settings", "prompts",
})  # fmt: skip
"""Parts that a proxy keeps for itself."""

KEYS = frozenset({"model_list", "router_settings", "litellm_settings", "mcp_servers"}) | PROXY
"""By these a file is known as LiteLLM's or the plan's."""

OURS = ("github_key", "fault_handler")
"""Keys of the plan that we have, too."""

TABLES = ("router_settings", "litellm_settings", "general_settings", "environment_variables")

ROUTER = frozenset({
    "timeout", "stream_timeout", "cooldown_time", "allowed_fails", "allowed_fails_policy", "disable_cooldowns",
    "fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks", "max_fallbacks",
    "routing_strategy", "routing_strategy_args", "routing_groups", "enable_pre_call_checks", "default_litellm_params",
    "provider_budget_config",
})  # fmt: skip
"""Settings of a Router that mean the same in our process."""

RETRIES = frozenset({"num_retries", "retry_after", "retry_policy", "model_group_retry_policy"})

CALL = frozenset(CallDefaults.model_fields)
"""Fields of a call that people write into `litellm_settings`."""

MODULE = frozenset(LitellmSettings.model_fields)
"""Settings of the module that mean the same in our process."""

_OF_THE_ROUTER = frozenset({
    "fallbacks", "context_window_fallbacks", "content_policy_fallbacks", "default_fallbacks", "allowed_fails",
    "cooldown_time",
})  # fmt: skip
"""What a proxy takes from `litellm_settings` for its Router."""

_OF_THE_PROXY = frozenset({
    "callbacks", "success_callback", "failure_callback", "service_callback", "audit_log_callbacks", "set_verbose",
    "json_logs", "cache", "cache_params", "turn_off_message_logging", "redact_user_api_key_info",
    "log_raw_request_response",
    "default_team_settings", "default_internal_user_params", "max_budget", "budget_duration",
})  # fmt: skip

_TWICE = "one deadline holds over all routes of a call, and waiting is the engine's business: retries would multiply"


def from_litellm(tree: Tree, draft: Draft, *, gateway: str | None) -> None:
    """Translate a LiteLLM configuration into the draft; with `gateway` its models are called through the proxy."""
    if "mcp_servers" in tree:
        executors_of(tree["mcp_servers"], ("mcp_servers",), draft)
    if gateway is not None:
        _by_proxy(tree, gateway, draft)
    else:
        _in_process(tree, draft)
    for key in OURS:
        if key in tree:
            draft.put((key,), tree[key], origin=(key,))
    _rest(tree, draft)


def _by_proxy(tree: Tree, gateway: str, draft: Draft) -> None:
    rows: Any = tree.get("model_list")
    master = _table(tree, "general_settings").get("master_key", f"{ENVIRON}LITELLM_MASTER_KEY")
    names = names_of(cast("list[Any]", rows) if isinstance(rows, list) else [])
    row = {"base_url": gateway, "api_key": with_variables(master, {}), "for": models_for(names)}
    draft.put(("models", "gateway"), row, origin=("general_settings", "master_key"))
    draft.note(("model_list",), f"called through {gateway}", "your router stays as it is: a proxy answers there")
    draft.note(("general_settings", "master_key"), "models.gateway.api_key", "it is the key for calls to the proxy")
    if defaults := {key: value for key, value in _table(tree, "litellm_settings").items() if key in CALL}:
        _defaults(defaults, draft)
    if kept := sorted((tree.keys() & KEYS) - {"model_list", "mcp_servers"}):
        draft.note((), f"left to the proxy: {', '.join(kept)}", "it has read them itself")


def _in_process(tree: Tree, draft: Draft) -> None:
    rows = tree.get("model_list")
    if isinstance(rows, list):
        rows_of(cast("list[Any]", rows), draft, _environment(tree, draft))
        names = names_of(draft.tree["models"]["model_list"])
        if len(set(names)) > 1:
            chosen = models_for(names)
            draft.put(("models", "for"), chosen)
            said = ", ".join(f"{task}: {name}" for task, name in chosen.items())
            draft.note(("model_list",), f"models.for: {said}", "which model serves which tasks, by the names found")
    elif rows is not None:
        draft.put(("models", "model_list"), rows, origin=("model_list",))
    _router_settings(tree, draft)
    _litellm_settings(tree, draft)
    if general := _table(tree, "general_settings"):
        draft.note(("general_settings",), f"left out: {', '.join(general)}", "they are of the proxy: we serve none")


def _environment(tree: Tree, draft: Draft) -> Mapping[str, str]:
    """Return the variables that the file itself gives a value; one that refers to another is not filled in there."""
    said = {name: str(value) for name, value in _table(tree, "environment_variables").items()}
    literal = {name: value for name, value in said.items() if not {"$", "}"} & set(value) and ENVIRON not in value}
    if literal:
        draft.note(
            ("environment_variables",),
            f"defaults of their ${{NAME}}: {', '.join(literal)}",
            "the environment comes first",
        )
    if other := [name for name in said if name not in literal]:
        draft.note(
            ("environment_variables",),
            f"left out: {', '.join(other)}",
            "LiteLLM does not fill in variables there: what the environment itself says is what counts",
        )
    return literal


def _router_settings(tree: Tree, draft: Draft) -> None:
    for key, value in _table(tree, "router_settings").items():
        origin = ("router_settings", key)
        if key in ROUTER:
            draft.put(("models", "router_settings", key), value, origin=origin)
        elif key in RETRIES:
            draft.note(origin, "left out: no retries", _TWICE)
        elif key == "model_group_alias":
            draft.note(origin, "left out", "models are called by their own names, which `models.for` gives")
        elif near := nearest(key, ROUTER | RETRIES, cutoff=0.8):
            _misspelt(origin, near, draft)
        else:
            draft.note(origin, "left out", "it is about a proxy of several processes, or nothing that LiteLLM knows")


def _litellm_settings(tree: Tree, draft: Draft) -> None:
    theirs = _table(tree, "litellm_settings")
    if defaults := {key: value for key, value in theirs.items() if key in CALL}:
        _defaults(defaults, draft)
    if left := [key for key in theirs if key in _OF_THE_PROXY]:
        draft.note(
            ("litellm_settings",),
            f"left out: {', '.join(left)}",
            "they stay with the proxy: its logs, caches and modules",
        )
    for key, value in theirs.items():
        if key not in CALL | _OF_THE_PROXY:
            _module_setting(key, value, draft)


def _module_setting(key: str, value: Any, draft: Draft) -> None:
    origin = ("litellm_settings", key)
    if key in MODULE:
        draft.put(("models", "litellm_settings", key), value, origin=origin)
    elif key in _OF_THE_ROUTER:
        draft.put(("models", "router_settings", key), value, origin=origin)
        draft.note(origin, f"models.router_settings.{key}", "it is a setting of the Router")
    elif key in RETRIES:
        draft.note(origin, "left out: no retries", _TWICE)
    elif near := nearest(key, CALL | _OF_THE_ROUTER | MODULE, cutoff=0.8):
        _misspelt(origin, near, draft)
    else:
        draft.note(origin, "left out", "it has no meaning outside of a proxy, or none that this program knows")


def _defaults(defaults: Mapping[str, Any], draft: Draft) -> None:
    for key, value in defaults.items():
        draft.put(("models", "defaults", key), value, origin=("litellm_settings", key))
        draft.note(
            ("litellm_settings", key), f"models.defaults.{key}", "LiteLLM ignores it there: it is a field of each call"
        )


def _misspelt(origin: tuple[str, str], near: str, draft: Draft) -> None:
    section, key = origin
    path = ("models", section, key)
    draft.origins[path] = origin
    draft.flaw(path, f"{key!r} is no key here", f"did you mean {near!r}?")


def _rest(tree: Tree, draft: Draft) -> None:
    """Say what becomes of the other keys: parts of a proxy stay there, a misspelt one is an error."""
    handled = {"general_settings", "environment_variables"}
    if proxy := sorted(tree.keys() & (PROXY - handled)):
        draft.note((), f"left out: {', '.join(proxy)}", "they are of the proxy")
    for key in (key for key in tree if key not in {*KEYS, *OURS}):
        near = nearest(key, {*KEYS, *OURS})
        fix = f"did you mean {near!r}?" if near else "remove it: neither LiteLLM nor this program knows it"
        draft.flaw((key,), f"{key!r} is no key here", fix)
    for key in (key for key in TABLES if not isinstance(tree.get(key) or {}, Mapping)):
        draft.flaw((key,), "is no mapping of keys", "write `key: value` lines below it")


def _table(tree: Tree, key: str) -> Mapping[str, Any]:
    value = tree.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
