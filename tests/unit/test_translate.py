"""Files of other programs: the plan's config.yaml, LiteLLM's configuration, the mcpServers of a client."""

import json
from pathlib import Path
from typing import Any

import pytest

from omni_mcp.home import Home
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings import Settings, load
from omni_mcp.translate.kind import Kind, kind_of, translate
from omni_mcp.translate.model_rows import models_for
from omni_mcp.yaml_file import Document

VIRTUAL_ROUTER = Path(__file__).parents[3] / "shared" / "data" / "virtual-router.yaml"
"""The configuration of a public LiteLLM project; not part of this one."""

PLAN = """\
model_list:
  - model_name: claude-3-5-sonnet
    api_base: https://api.anthropic.com
    api_key: ${ANTHROPIC_API_KEY}
litellm_settings:
  drop_params: true
  temperature: 0.7
github_key: ${GITHUB_LITELLM_KEY}
mcp_servers:
  openclaw: {url: "ws://127.0.0.1:18789", name: "OpenClaw"}
  claude_code: {url: "stdio", name: "Claude Code"}
fault_handler: {lite_llm_timeout: 1.5, consecutive_failures: 3, check_interval: 31, cloud_check_timeout: 11}
"""

LITELLM = """\
environment_variables:
  OWN_BASE: http://own:1/v1
  OTHER: "${ELSEWHERE}"
model_list:
  - model_name: auto-chat
    litellm_params: {model: openai/first, api_base: os.environ/OWN_BASE, api_key: os.environ/A_KEY}
  - model_name: auto-claude
    litellm_params: {model: anthropic/deepest, api_key: os.environ/A_KEY}
    model_info: {fallback_order: 3}
  - model_name: auto-claude
    litellm_params: {model: anthropic/first, api_key: os.environ/A_KEY}
    model_info: {fallback_order: 1}
  - model_name: auto-chat
    litellm_params: {model: openai/second, api_key: os.environ/A_KEY}
  - model_name: auto-claude-mini
    litellm_params: {model: anthropic/mini, api_key: os.environ/A_KEY}
  - model_name: "*"
    litellm_params: {model: "*", api_key: os.environ/A_KEY}
router_settings:
  routing_strategy: simple-shuffle
  num_retries: 3
  timeout: 60
  redis_host: redis
  model_group_alias: {auto-chat: auto-chat}
general_settings:
  master_key: os.environ/LITELLM_MASTER_KEY
  callbacks: [a.b]
litellm_settings:
  drop_params: false
  request_timeout: 600
  callbacks: [a.b]
  set_verbose: true
  fallbacks: [{auto-claude: [auto-chat]}]
"""


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC_API_KEY", "GITHUB_LITELLM_KEY", "A_KEY"):
        monkeypatch.setenv(name, f"the-{name}")
    monkeypatch.delenv("OWN_BASE", raising=False)


def loaded(folder: Path, text: str, name: str = "servers.yaml") -> Settings:
    """Load a file as `--config` does."""
    (folder / name).write_text(text, encoding="utf-8")
    return load(Home(folder / "home", folder / name))


def whole(folder: Path, text: str, name: str = "servers.yaml") -> Settings:
    """Load a file without a problem."""
    settings = loaded(folder, text, name)
    assert [str(problem) for problem in settings.problems] == []
    return settings


def client(**servers: Any) -> str:
    return json.dumps({"mcpServers": servers})


def said(settings: Settings) -> dict[str, str]:
    return {f"{each.where}: {each.what}": each.why for each in settings.rewrites}


def params(settings: Settings, name: str) -> list[Any]:
    return [row["litellm_params"] for row in settings.servers.models.model_list if row["model_name"] == name]


# whose file it is


@pytest.mark.parametrize(
    ("keys", "kind"),
    [
        (["executors"], Kind.OURS),
        (["github_key", "fault_handler"], Kind.OURS),
        (["executors", "model_list"], Kind.OURS),
        (["nobody"], Kind.OURS),
        ([], Kind.OURS),
        (["model_list", "mcp_servers"], Kind.PLAN),
        (["model_list", "github_key"], Kind.PLAN),
        (["model_list"], Kind.LITELLM),
        (["general_settings"], Kind.LITELLM),
        (["mcpServers", "theme"], Kind.CLIENT),
    ],
)
def test_a_file_is_known_by_its_top_level_keys(keys: list[str], kind: Kind):
    assert kind_of(dict.fromkeys(keys)) is kind


@pytest.mark.parametrize("key", ["model_list", "router_settings", "litellm_settings", "mcp_servers", "mcpServers"])
def test_a_key_of_another_file_in_ours_is_told_its_place(tmp_path: Path, key: str):
    (problem,) = loaded(tmp_path, f"executors: {{x: {{preset: assistant}}}}\n{key}: []\n").problems
    assert problem.fix.startswith("write it as ")


# the plan


def test_the_plans_template_loads_as_it_stands(tmp_path: Path):
    servers = whole(tmp_path, PLAN).servers
    assert {name: row.preset for name, row in servers.executors.items()} == {
        "openclaw": "openclaw",
        "claude_code": "claude-code",
        "assistant": "assistant",
    }
    assert servers.executors["openclaw"].url == "ws://127.0.0.1:18789"
    handler = servers.fault_handler
    assert (handler.lite_llm_timeout, handler.consecutive_failures) == (1.5, 3)
    assert (handler.check_interval, handler.cloud_check_timeout) == (31, 11)


def test_a_flat_model_of_the_plan_becomes_one_of_litellm(tmp_path: Path):
    settings = whole(tmp_path, PLAN)
    assert params(settings, "claude-3-5-sonnet") == [
        {
            "api_base": "https://api.anthropic.com",
            "api_key": "the-ANTHROPIC_API_KEY",
            "model": "anthropic/claude-3-5-sonnet",
        }
    ]
    assert settings.servers.models.model_for("coding") == "claude-3-5-sonnet"


def test_temperature_becomes_a_default_of_each_call_and_drop_params_stays(tmp_path: Path):
    settings = whole(tmp_path, PLAN)
    assert settings.servers.models.defaults.said == {"temperature": 0.7}
    assert settings.servers.models.litellm_settings.drop_params is True
    assert "litellm_settings.temperature: models.defaults.temperature" in said(settings)


def test_the_plans_one_key_serves_both_providers(tmp_path: Path):
    found = whole(tmp_path, PLAN).backup_keys
    assert {name: key.get_secret_value() for name, key in found.items()} == {
        "anthropic": "the-GITHUB_LITELLM_KEY",
        "openrouter": "the-GITHUB_LITELLM_KEY",
    }


def test_a_problem_of_a_translated_file_has_the_line_and_the_key_of_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    (problem,) = loaded(tmp_path, PLAN, "config.yaml").problems
    assert problem.where == "config.yaml line 4, model_list.0.api_key"
    assert "ANTHROPIC_API_KEY is not set" in problem.what


@pytest.mark.parametrize(
    ("row", "model"),
    [
        ("{model_name: claude-x, api_base: 'http://127.0.0.1:1'}", "anthropic/claude-x"),
        ("{model_name: claude-x, api_base: 'http://127.0.0.1:1/v1'}", "openai/claude-x"),
        ("{model_name: gpt-x}", "openai/gpt-x"),
        ("{model_name: o3-x, api_base: 'https://api.openai.com/v1'}", "openai/o3-x"),
        ("{model_name: gemini-x}", "gemini/gemini-x"),
        ("{model_name: any/x, api_base: 'https://openrouter.ai/api/v1'}", "openrouter/any/x"),
        ("{model_name: glm, api_base: 'https://own.example/v4'}", "openai/glm"),
        ("{model_name: zai/glm}", "zai/glm"),
        ("{model_name: short, model: deepseek/long}", "deepseek/long"),
    ],
)
def test_the_provider_of_a_flat_model_is_told_by_its_address_or_its_name(tmp_path: Path, row: str, model: str):
    settings = whole(tmp_path, f"model_list: [{row}]\nmcp_servers: {{}}\n")
    assert settings.servers.models.model_list[0]["litellm_params"]["model"] == model


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("ws: {url: 'ws://127.0.0.1:9'}", "no WebSocket transport"),
        ("other: {url: stdio}", "stdio names no program"),
        ("other: {url: 'tcp://x'}", "begins with neither"),
        ("other: just a word", "valid dictionary"),
    ],
)
def test_a_server_that_nobody_can_reach_is_a_problem_and_the_rest_works(tmp_path: Path, server: str, said: str):
    settings = loaded(tmp_path, f"model_list: []\nmcp_servers:\n  {server}\n")
    (problem,) = settings.problems
    assert said in problem.what
    assert "line 3, mcp_servers." in problem.where
    assert {"assistant", "claude_code"} == set(settings.servers.executors)


@pytest.mark.parametrize(
    ("server", "name", "preset"),
    [
        ("gateway: {url: 'ws://10.0.0.5:18789'}", "openclaw", "openclaw"),
        ("my-openclaw: {url: 'wss://claw.example/ws', token: t}", "openclaw", "openclaw"),
        ("edge: {url: 'wss://me.workers.dev/ws', headers: {CF: x}}", "moltworker", "moltworker"),
        ("Claude: {url: stdio}", "claude_code", "claude-code"),
        ("c: {command: /usr/bin/claude, args: [mcp, serve]}", "claude_code", "claude-code"),
    ],
)
def test_an_agent_is_served_by_its_preset_under_the_name_that_the_rules_know(
    tmp_path: Path, server: str, name: str, preset: str
):
    assert whole(tmp_path, f"mcp_servers:\n  {server}\n").servers.executors[name].preset == preset


# LiteLLM


def test_rows_of_one_name_get_the_order_that_was_meant(tmp_path: Path):
    settings = whole(tmp_path, LITELLM)
    claude = {row["model"]: row["order"] for row in params(settings, "auto-claude")}
    chat = {row["model"]: row["order"] for row in params(settings, "auto-chat")}
    assert claude == {"anthropic/first": 1, "anthropic/deepest": 2}
    assert chat == {"openai/first": 1, "openai/second": 2}
    assert "order" not in params(settings, "auto-claude-mini")[0]


def test_an_order_that_is_there_is_left_alone(tmp_path: Path):
    text = "model_list:\n" + "".join(
        f"  - {{model_name: m, litellm_params: {{model: a/{n}, order: {3 - n}}}}}\n" for n in (1, 2)
    )
    assert [row["order"] for row in params(whole(tmp_path, text), "m")] == [2, 1]


def test_variables_of_litellm_are_ours_and_have_the_files_own_values_as_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    first = params(whole(tmp_path, LITELLM), "auto-chat")[0]
    assert (first["api_base"], first["api_key"]) == ("http://own:1/v1", "the-A_KEY")
    monkeypatch.setenv("OWN_BASE", "http://environment/v1")
    assert params(whole(tmp_path, LITELLM), "auto-chat")[0]["api_base"] == "http://environment/v1"


def test_a_layer_without_its_key_is_left_out_and_all_of_them_are_one_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.delenv("A_KEY")
    settings = loaded(tmp_path, LITELLM)
    (problem,) = settings.problems
    assert settings.servers.models.model_list == ()
    assert "line 6, model_list.0.litellm_params.api_key" in problem.where
    assert "A_KEY is not set (also on line 8, 11, 14, 16)" in problem.what


def test_wildcards_retries_aliases_and_what_is_of_the_proxy_are_left_out_and_said(tmp_path: Path):
    settings = whole(tmp_path, LITELLM)
    router = settings.servers.models.router_settings
    assert router == {
        "routing_strategy": "simple-shuffle",
        "timeout": 60,
        "fallbacks": [{"auto-claude": ["auto-chat"]}],
    }
    assert "*" not in [row["model_name"] for row in settings.servers.models.model_list]
    text = " ".join(said(settings))
    for left in ("num_retries", "redis_host", "model_group_alias", "callbacks", "set_verbose", "master_key", "OTHER"):
        assert left in text


def test_what_is_no_default_of_litellms_module_is_kept(tmp_path: Path):
    settings = whole(tmp_path, LITELLM).servers.models.litellm_settings
    assert (settings.drop_params, settings.request_timeout) == (False, 600)


def test_the_models_of_task_types_are_chosen_by_the_names_found(tmp_path: Path):
    models = whole(tmp_path, LITELLM).servers.models
    assert [models.model_for(kind) for kind in ("coding", "general", None)] == ["auto-claude", "auto-chat", "auto-chat"]


@pytest.mark.parametrize(
    ("names", "coding", "general"),
    [
        (["auto-chat-mini", "auto-claude-max", "auto-claude", "auto-chat"], "auto-claude", "auto-chat"),
        (["qwen-coder", "qwen-chat"], "qwen-coder", "qwen-chat"),
        (["glm"], "glm", "glm"),
        (["a", "*"], "a", "a"),
    ],
)
def test_a_small_or_large_variant_is_not_the_usual_one(names: list[str], coding: str, general: str):
    assert models_for(names) == {"coding": coding, "general": general, "default": general}


def test_where_a_proxy_runs_with_the_file_it_serves_the_calls_and_keeps_its_models():
    document = Document(name="c.yaml", tree=_tree(LITELLM), lines={})
    tree = translate(document, gateway="http://127.0.0.1:4000").document.tree
    assert tree["models"] == {
        "gateway": {
            "base_url": "http://127.0.0.1:4000",
            "api_key": "${LITELLM_MASTER_KEY}",
            "for": {"coding": "auto-claude", "general": "auto-chat", "default": "auto-chat"},
        }
    }


def test_behind_a_proxy_temperature_is_still_a_default_of_our_calls():
    tree = translate(Document(name="c.yaml", tree=_tree(PLAN), lines={}), gateway="http://x").document.tree
    assert tree["models"]["defaults"] == {"temperature": 0.7}


def _tree(text: str) -> Any:
    import yaml

    return yaml.safe_load(text)


@pytest.mark.skipif(not VIRTUAL_ROUTER.exists(), reason="the file is only beside the workshop's repository")
def test_the_users_own_virtual_router_loads_as_it_stands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = VIRTUAL_ROUTER.read_text(encoding="utf-8")
    for name in ("NEW_API_KEY", "CHAT_AUTO_API_KEY", "ZHIPU_API_KEY", "ARK_API_KEY", "VOLCES_KIMI_API_KEY"):
        monkeypatch.setenv(name, "sk-x")
    for name in ("NEW_API_BASE", "NEW_API_ANTHROPIC_BASE", "ZHIPU_BASE_URL", "ZHIPU_ANTHROPIC_BASE"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("ARK_OPENAI_BASE", "ARK_CLAUDE_BASE", "VOLCES_KIMI_BASE"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    settings = whole(tmp_path, text)
    layers = {row["model_name"]: len(params(settings, row["model_name"])) for row in settings.servers.models.model_list}
    assert layers == {
        "auto-chat": 4, "auto-chat-mini": 4, "auto-codex": 1, "auto-codex-mini": 1, "auto-claude": 4,
        "auto-claude-max": 4, "auto-claude-mini": 3, "claude-haiku-4-5": 1,
    }  # fmt: skip
    assert [row["order"] for row in params(settings, "auto-chat")] == [1, 2, 3, 4]
    assert settings.servers.models.model_for("coding") == "auto-claude"


# misspelt keys of these files


@pytest.mark.parametrize(
    ("text", "key", "meant"),
    [
        ("model_list: []\nrouter_setings: {}\n", "router_setings", "router_settings"),
        ("model_list: []\nfault_handlr: {}\n", "fault_handlr", "fault_handler"),
        ("model_list: []\ngithub_kye: x\n", "github_kye", "github_key"),
        ("model_list: []\nmcp_server: {}\n", "mcp_server", "mcp_servers"),
        ("model_list: []\nrouter_settings: {timeuot: 3}\n", "router_settings.timeuot", "timeout"),
        ("model_list: []\nlitellm_settings: {drop_parms: true}\n", "litellm_settings.drop_parms", "drop_params"),
        ("model_list: []\nlitellm_settings: {temprature: 1}\n", "litellm_settings.temprature", "temperature"),
        ("mcp_servers: {x: {comand: npx}}\n", "mcp_servers.x.comand", "command"),
        ("mcp_servers: {}\nfault_handler: {check_intervall: 3}\n", "fault_handler.check_intervall", "check_interval"),
    ],
)
def test_a_misspelt_key_gets_the_nearest_one_named(tmp_path: Path, text: str, key: str, meant: str):
    (problem,) = loaded(tmp_path, text).problems[-1:]
    assert problem.where.endswith(f", {key}")
    assert problem.fix == f"did you mean {meant!r}?"


@pytest.mark.parametrize("section", ["router_settings", "litellm_settings", "general_settings", "model_list"])
def test_a_part_of_the_wrong_shape_is_a_problem_and_not_ignored(tmp_path: Path, section: str):
    (problem,) = loaded(tmp_path, f"mcp_servers: {{}}\n{section}: a word\n").problems
    assert problem.where.endswith(f"line 2, {section}")


# clients


def test_each_server_of_a_client_is_an_executor_for_the_type_of_its_name(tmp_path: Path):
    text = client(files={"command": "npx", "args": ["-y", "x"], "env": {"A": "b"}, "cwd": "/tmp"})
    row = whole(tmp_path, text, "mcp.json").servers.executors["files"]
    assert (row.command, row.args, row.env, row.handles) == ("npx", ("-y", "x"), {"A": "b"}, ("files",))


@pytest.mark.parametrize("name", ["mcp.json", "servers.yaml"])
def test_comments_and_trailing_commas_are_read_whatever_the_file_is_called(tmp_path: Path, name: str):
    text = '{\n\t// mine\n\t"mcpServers": {"a": {"url": "http://x", /* y */ "type": "http",},},\n}\n'
    assert whole(tmp_path, text, name).servers.executors["a"].url == "http://x"


def test_a_mapping_of_yaml_in_braces_is_still_yaml(tmp_path: Path):
    assert set(whole(tmp_path, "{executors: {x: {preset: assistant}}}").servers.executors) == {"x"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"mcpServers": {\n  "a": nonsense}}', "is no JSON: line 2, column 8"),
        ("[1]", "is not an object"),
        ('{"mcpServers": {"a": {},\n "a": {}}}', "line 2: the key 'a' is already on line 1"),
        ("mcpServers: {}", "is no JSON: line 1"),
    ],
)
def test_what_is_no_json_is_named_with_its_line(tmp_path: Path, text: str, said: str):
    (problem,) = loaded(tmp_path, text, "mcp.json").problems
    assert said in problem.what
    assert problem.disables_all


def test_a_problem_in_json_has_its_line(tmp_path: Path):
    text = '{\n "mcpServers": {\n  "a": {\n   "url": "ftp://x"\n  }\n }\n}'
    assert loaded(tmp_path, text, "mcp.json").problems[0].where == "mcp.json line 4, mcpServers.a.url"


def test_what_a_client_alone_knows_is_left_out_and_said(tmp_path: Path):
    text = json.dumps(
        {
            "theme": "dark",
            "mcpServers": {
                "a b": {"httpUrl": "http://x", "alwaysAllow": ["y"], "timeout": 60000},
                "off": {"command": "x", "disabled": True},
                "omni": {"command": "/opt/bin/omni-mcp"},
            },
        }
    )
    settings = whole(tmp_path, text, "mcp.json")
    assert set(settings.servers.executors) == {"a_b", "claude_code", "assistant"}
    assert settings.servers.executors["a_b"].timeout == 3600
    text = " ".join(said(settings))
    for part in (
        "alwaysAllow, timeout",
        "theme",
        "mcpServers.off: left out",
        "mcpServers.omni: left out",
        "names no tool",
    ):
        assert part in text


def test_two_names_that_become_one_word_stay_two_executors(tmp_path: Path):
    text = client(**{"a b": {"url": "http://1"}, "a.b": {"url": "http://2"}, "1": {"url": "http://3"}})
    executors = whole(tmp_path, text).servers.executors
    assert {name: row.url for name, row in executors.items() if row.url} == {
        "a_b": "http://1",
        "a_b_2": "http://2",
        "s_1": "http://3",
    }


def test_a_variable_as_editors_write_it_is_filled_in(tmp_path: Path):
    text = client(a={"url": "http://x", "headers": {"K": "${env:A_KEY}"}})
    assert whole(tmp_path, text).servers.executors["a"].headers["K"].get_secret_value() == "the-A_KEY"


def test_without_the_file_nothing_is_translated(tmp_path: Path):
    settings = load(Home(tmp_path))
    assert (settings.kind, settings.rewrites, settings.servers) == (Kind.OURS, (), ServersFile())


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ("x: {url: 'ws://10.0.0.5:18789'}", "drives it"),
        ("x: {command: claude, args: [mcp, serve]}", "drives it"),
    ],
)
def test_a_rewrite_says_that_an_adapter_drives_an_agent(tmp_path: Path, server: str, said: str):
    rewrites = whole(tmp_path, f"mcp_servers:\n  {server}\n").rewrites
    assert [said in each.why for each in rewrites if each.what.startswith("preset")] == [True]
