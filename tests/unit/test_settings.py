"""What a person may write into servers.yaml, and what is said about what cannot be used."""

import os
from pathlib import Path

import platformdirs
import pytest

from omni_mcp.file_check.check import check
from omni_mcp.file_check.problem import Problem
from omni_mcp.home import Home
from omni_mcp.servers_file.executors import ExecutorRow
from omni_mcp.servers_file.routing import PLAN_RULES
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings import Settings, load
from omni_mcp.translate.kind import Kind, Translation
from omni_mcp.yaml_file import MAX_FILE_BYTES, Document

EXAMPLE = Path(__file__).parents[2] / "servers.yaml"
SECRET = "sk-only-for-the-provider"


def settings_from(folder: Path, text: str, *, dotenv: str | None = None) -> Settings:
    (folder / "servers.yaml").write_text(text, encoding="utf-8")
    if dotenv is not None:
        (folder / ".env").write_text(dotenv, encoding="utf-8")
    return load(Home(folder))


def the_problem(settings: Settings) -> Problem:
    (problem,) = settings.problems
    return problem


# the home


def test_a_given_home_beats_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "environment"))
    assert Home.locate(tmp_path / "given").root == tmp_path / "given"


def test_the_environment_names_the_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("OMNI_HOME", str(tmp_path))
    assert Home.locate().root == tmp_path


@pytest.mark.parametrize("unset", [None, ""])
def test_without_a_name_the_home_is_in_the_users_data_folder(monkeypatch: pytest.MonkeyPatch, unset: str | None):
    if unset is None:
        monkeypatch.delenv("OMNI_HOME", raising=False)
    else:
        monkeypatch.setenv("OMNI_HOME", unset)
    assert Home.locate().root == Path(platformdirs.user_data_dir("omni-mcp", appauthor=False))


def test_a_home_is_absolute_whatever_was_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "somebody"))
    assert Home.locate(Path("here")).root == tmp_path / "here"
    assert Home.locate(Path("~/there")).root == tmp_path / "somebody" / "there"


def test_the_current_directory_adds_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "servers.yaml").write_text("executors: {evil: {preset: assistant}}")
    (tmp_path / ".env").write_text("STOLEN=yes")
    monkeypatch.chdir(tmp_path)
    settings = load(Home(tmp_path / "home"))
    assert "evil" not in settings.names
    assert settings.secrets == {}


# what holds


def test_without_a_file_the_two_embedded_executors_and_the_rules_of_the_plan_hold(tmp_path: Path):
    settings = load(Home(tmp_path))
    assert settings.names == ["assistant", "claude_code"]
    assert settings.servers.routing.rules == PLAN_RULES
    assert not settings.problems


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n"])
def test_an_empty_file_is_as_good_as_none(tmp_path: Path, text: str):
    settings = settings_from(tmp_path, text)
    assert settings.names == ["assistant", "claude_code"]
    assert not settings.problems


def test_the_example_of_the_project_loads_without_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("ANTHROPIC_API_KEY", SECRET)
    settings = settings_from(tmp_path, EXAMPLE.read_text(encoding="utf-8"))
    assert [str(problem) for problem in settings.problems] == []
    assert settings.names == ["assistant", "claude_code", "everything", "filesystem"]


def test_a_row_is_read_as_written(tmp_path: Path):
    row = settings_from(
        tmp_path,
        "executors: {x: {command: npx, args: [-y, server], env: {A: b}, tool: echo, handles: [echo], parallel: 4}}",
    ).servers.executors["x"]
    assert row == ExecutorRow(
        command="npx", args=("-y", "server"), env={"A": "b"}, tool="echo", handles=("echo",), parallel=4
    )


@pytest.mark.parametrize(("task_type", "model"), [("coding", "strong"), ("general", "usual"), (None, "usual")], ids=str)
def test_a_task_type_has_its_model_or_the_default_one(tmp_path: Path, task_type: str | None, model: str):
    models = settings_from(tmp_path, "models: {for: {coding: strong, default: usual}}").servers.models
    assert models.model_for(task_type) == model


def test_without_a_choice_the_first_model_of_the_list_serves(tmp_path: Path):
    models = settings_from(
        tmp_path, "models: {model_list: [{model_name: first, litellm_params: {model: a/b}}]}"
    ).servers.models
    assert models.model_for("coding") == "first"
    assert models.model_copy(update={"model_list": ()}).model_for("coding") is None


def test_keys_are_words_as_written_even_those_that_yaml_takes_for_truth_values(tmp_path: Path):
    row = settings_from(tmp_path, "executors: {x: {preset: assistant, env: {on: 'yes'}}}\n").servers.executors["x"]
    assert row.env == {"on": "yes"}


def test_a_folder_may_begin_with_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HOME", str(tmp_path))
    row = settings_from(tmp_path, "executors: {x: {preset: claude-code, roots: [~/code]}}").servers.executors["x"]
    assert row.roots == (tmp_path / "code",)


# a bad row disables itself only


def test_a_bad_row_disables_itself_only(tmp_path: Path):
    settings = settings_from(
        tmp_path,
        """\
executors:
  good: {preset: assistant}
  bad:
    preset: assistant
    parallel: many
""",
    )
    assert set(settings.servers.executors) == {"good"}
    assert settings.names == ["bad", "good"]
    assert settings.problem_of("good") is None
    problem = settings.problem_of("bad")
    assert problem is not None
    assert problem.where == "servers.yaml line 5, executors.bad.parallel"
    assert "integer" in problem.what


def test_each_fault_of_a_row_is_reported_not_just_the_first(tmp_path: Path):
    settings = settings_from(
        tmp_path, "executors: {x: {preset: nobody, parallel: 0, timeout: .inf, roots: [relative]}}"
    )
    assert [problem.where for problem in settings.problems] == [
        "servers.yaml line 1, executors.x.preset",
        "servers.yaml line 1, executors.x.parallel",
        "servers.yaml line 1, executors.x.timeout",
        "servers.yaml line 1, executors.x.roots.0",
    ]
    assert {problem.executor for problem in settings.problems} == {"x"}


def test_a_bad_rule_takes_away_itself_and_no_executor(tmp_path: Path):
    settings = settings_from(
        tmp_path,
        """\
executors: {x: {preset: assistant}}
routing:
  rules:
    - {type: coding}
    - {type: general, executor: x}
""",
    )
    assert [rule.type for rule in settings.servers.routing.rules] == ["general"]
    assert the_problem(settings).where == "servers.yaml line 4, routing.rules.0.executor"
    assert settings.problem_of("x") is None


def test_a_bad_model_takes_away_itself(tmp_path: Path):
    settings = settings_from(
        tmp_path,
        """\
models:
  model_list:
    - {model_name: works, litellm_params: {model: a/b}}
    - {model_name: forgotten}
""",
    )
    assert [row["model_name"] for row in settings.servers.models.model_list] == ["works"]
    assert the_problem(settings).where == "servers.yaml line 4, models.model_list.1"


def test_a_bad_limit_leaves_the_default_and_the_other_limits(tmp_path: Path):
    settings = settings_from(tmp_path, "limits:\n  max_attempts: 0\n  engine_idle_seconds: 5\n")
    assert settings.servers.limits.max_attempts == 3
    assert settings.servers.limits.engine_idle_seconds == 5
    assert the_problem(settings).where == "servers.yaml line 2, limits.max_attempts"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("executors: {x: {preset: assistant, handels: [coding]}}", "handles"),
        ("routing: {rules: [{executor: assistant, keyword: [a]}]}", "keywords"),
        ("routing: {defualt: x}", "default"),
        ("models: {model-list: []}", "model_list"),
        ("models: {fro: {}}", "for"),
        ("limits: {max_attempt: 3}", "max_attempts"),
        ("executers: {}", "executors"),
    ],
)
def test_a_misspelt_key_gets_the_nearest_one_named(tmp_path: Path, text: str, meant: str):
    assert the_problem(settings_from(tmp_path, text)).fix == f"did you mean '{meant}'?"


def test_a_key_like_no_other_gets_all_of_them_named(tmp_path: Path):
    problem = the_problem(settings_from(tmp_path, "limits: {zzz: 3}"))
    keys = (
        "max_attempts, max_depth, silent_seconds, input_seconds, keep_days, daily_usd, unknown_usd, description_bytes, "
        "engine_idle_seconds"
    )
    assert problem.fix == f"the keys here are: {keys}"


@pytest.mark.parametrize("name", ["two words", "a.b", "../up", "1st", "'-x'", "名", "''", "a" * 65])
def test_the_name_of_an_executor_is_one_plain_word(tmp_path: Path, name: str):
    settings = settings_from(tmp_path, f"executors: {{{name}: {{preset: assistant}}}}")
    assert not settings.servers.executors
    assert "one word" in the_problem(settings).what


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("{handles: [x]}", "needs one of preset, command or url"),
        ("{command: a, url: 'http://b', tool: t}", "has both command and url"),
        ("{command: a}", "needs handles"),
        ("{preset: openclaw}", "needs url"),
        ("{preset: moltworker, command: a}", "needs url"),
        ("{preset: openclaw, url: 'http://127.0.0.1:18789'}", "begins with ws:// or wss://"),
        ("{preset: openclaw, url: 'ws://127.0.0.1:1', agent: '--x'}", "the id of an agent"),
        ("{url: 'ftp://b', tool: t}", "begins with neither http://"),
        ("{url: 'http://127.0.0.1:99999/mcp', tool: t}", "no number from 1 to 65535"),
        ("{url: 'http://127.0.0.1:0/mcp', tool: t}", "no number from 1 to 65535"),
        ("{url: 'http://user:sk-a/b@host/mcp', tool: t}", "no number from 1 to 65535"),
        ("{url: 'http://:80/mcp', tool: t}", "names no host"),
        ("{url: 'http://[::1/mcp', tool: t}", "names no host"),
        ("{preset: claude-code, cwd: here}", "is not absolute"),
        ("{preset: claude-code, cwd: ~nobody-has-this-name/x}", "names a user that does not exist"),
        ("{command: a, tool: t, env: {N: 1}}", "valid string"),
        ("{url: 'ws://127.0.0.1:1', tool: t}", "no WebSocket transport"),
        ("", "valid dictionary"),
        ("[a]", "valid dictionary"),
    ],
)
def test_a_row_that_cannot_work_says_what_it_needs(tmp_path: Path, row: str, said: str):
    settings = settings_from(tmp_path, f"executors:\n  x: {row}\n")
    assert said in the_problem(settings).what
    assert settings.problem_of("x") is not None
    assert the_problem(settings).where.startswith("servers.yaml line 2, executors.x")


def test_a_gateway_whose_port_cannot_be_is_a_problem_with_its_line(tmp_path: Path):
    settings = settings_from(tmp_path, "models:\n  gateway: {base_url: 'http://127.0.0.1:99999'}\n")
    problem = the_problem(settings)
    assert (problem.where, settings.servers.models.gateway) == ("servers.yaml line 2, models.gateway.base_url", None)
    assert "no number from 1 to 65535" in problem.what


# a file that cannot be read at all


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("executors:\n  x: {preset: assistant\n", "line 3, column 1"),
        ("executors:\n\tx: 1\n", "line 2, column 1"),
        ("executors: *everything\n", "line 1, column 12"),
        ("limits:\n  max_attempts: 2024-13-45\n", "line 2, column 17"),
        ("? [a]\n: b\n", "line 1, column 3"),
        ("limits: !python/name:os.system {}\n", "line 1, column 9"),
        ("- a list\n", "line 1"),
        ("just a word\n", "line 1"),
    ],
)
def test_a_malformed_file_is_named_with_line_and_column_and_disables_all(tmp_path: Path, text: str, place: str):
    settings = settings_from(tmp_path, text)
    problem = the_problem(settings)
    assert problem.where == str(tmp_path / "servers.yaml")
    assert problem.what.startswith(place)
    assert [settings.problem_of(name) for name in settings.names] == [problem, problem]


def test_a_key_written_twice_is_refused_with_both_lines(tmp_path: Path):
    text = "executors:\n  x: {preset: assistant}\n  y: {preset: assistant}\n  x: {preset: claude-code}\n"
    assert the_problem(settings_from(tmp_path, text)).what == "line 4, column 3: the key 'x' is already on line 2"


def test_a_key_written_twice_in_one_line_is_refused_too(tmp_path: Path):
    problem = the_problem(settings_from(tmp_path, "limits: {max_attempts: 1, max_attempts: 2}"))
    assert "the key 'max_attempts' is already on line 1" in problem.what


@pytest.mark.parametrize("text", ["executors: [a]", "executors: x", "executors:", "executers: {}"])
def test_where_nobody_can_say_which_executors_are_meant_none_is_used(tmp_path: Path, text: str):
    settings = settings_from(tmp_path, text)
    assert settings.problem_of("assistant") == the_problem(settings)


def test_an_unknown_key_beside_the_executors_disables_none_of_them(tmp_path: Path):
    settings = settings_from(tmp_path, "executors: {x: {preset: assistant}}\nschedules: []\n")
    assert the_problem(settings).where == "servers.yaml line 2, schedules"
    assert settings.problem_of("x") is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "is not UTF-8 at byte 0"),
        (b"limits: \x00", "a character that YAML does not allow"),
        (b"[" * 5000, "nested too deeply"),
        (b"#" * (MAX_FILE_BYTES + 1), "is larger than"),
    ],
    ids=["not UTF-8", "a zero byte", "nested", "large"],
)
def test_a_file_that_is_no_settings_file_is_a_problem_and_no_crash(tmp_path: Path, content: bytes, said: str):
    (tmp_path / "servers.yaml").write_bytes(content)
    assert said in the_problem(load(Home(tmp_path))).what


def test_a_folder_in_place_of_a_file_is_a_problem_and_no_crash(tmp_path: Path):
    (tmp_path / "servers.yaml").mkdir()
    (tmp_path / ".env").mkdir()
    problems = load(Home(tmp_path)).problems
    assert any("cannot be read" in problem.what for problem in problems)


# variables and secrets


def test_a_variable_comes_from_the_environment_then_from_the_dotenv_of_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("IN_BOTH", "environment")
    row = settings_from(
        tmp_path,
        'executors: {x: {preset: assistant, args: ["${IN_BOTH}", "${IN_FILE}/x", "${IN_FILE}${IN_FILE}"]}}',
        dotenv="IN_BOTH=file\nIN_FILE=file\n",
    ).servers.executors["x"]
    assert row.args == ("environment", "file/x", "filefile")


@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_a_variable_without_a_value_has_its_default(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, value: str | None):
    monkeypatch.setenv("MAYBE", value or "")
    if value is None:
        monkeypatch.delenv("MAYBE")
    row = settings_from(
        tmp_path, 'executors: {x: {preset: assistant, model: "${MAYBE:-usual}", args: ["${MAYBE:-}"]}}'
    ).servers.executors["x"]
    assert (row.model, row.args) == ("usual", ("",))


def test_a_variable_that_is_not_set_disables_its_row_and_is_named_with_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("NOWHERE", raising=False)
    settings = settings_from(
        tmp_path, 'executors:\n  x:\n    preset: assistant\n    token: "${NOWHERE}"\n  y: {preset: assistant}\n'
    )
    assert set(settings.servers.executors) == {"y"}
    problem = the_problem(settings)
    assert problem.where == "servers.yaml line 4, executors.x.token"
    assert problem.what == "the variable NOWHERE is not set"
    assert ".env" in problem.fix


def test_a_model_whose_key_is_not_set_is_left_out_whole(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("NOWHERE", raising=False)
    settings = settings_from(
        tmp_path,
        """\
models:
  model_list:
    - {model_name: works, litellm_params: {model: a/b}}
    - model_name: keyless
      litellm_params: {model: c/d, api_key: "${NOWHERE}"}
""",
    )
    assert [row["model_name"] for row in settings.servers.models.model_list] == ["works"]
    assert the_problem(settings).where == "servers.yaml line 5, models.model_list.1.litellm_params.api_key"


def test_a_number_from_a_variable_that_is_not_set_is_one_problem_not_two(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("NOWHERE", raising=False)
    settings = settings_from(tmp_path, 'executors: {x: {preset: assistant, parallel: "${NOWHERE}"}}')
    assert the_problem(settings).what == "the variable NOWHERE is not set"


@pytest.mark.parametrize("text", ["${OPEN", "${}", "${1ST}", "${A-b}", "${A:-${B}}"])
def test_half_a_variable_is_never_taken_for_a_value(tmp_path: Path, text: str):
    settings = settings_from(tmp_path, f"executors: {{x: {{preset: assistant, token: '{text}'}}}}", dotenv="B=b")
    assert "variable without name or end" in the_problem(settings).what
    assert not settings.servers.executors


def test_a_value_of_the_dotenv_is_taken_as_it_stands(tmp_path: Path):
    settings = settings_from(tmp_path, "", dotenv="KEY='a${HOME}$b'\nexport OTHER=1\nNOTHING\n")
    assert settings.secrets == {"KEY": "a${HOME}$b", "OTHER": "1"}


def test_a_dotenv_that_is_no_text_is_a_problem_and_no_crash(tmp_path: Path):
    (tmp_path / ".env").write_bytes(b"KEY=\xff")
    problem = the_problem(load(Home(tmp_path)))
    assert (problem.where, problem.what) == (str(tmp_path / ".env"), "cannot be read")


def test_no_secret_is_in_the_repr_of_the_settings(tmp_path: Path):
    settings = settings_from(
        tmp_path,
        """\
executors:
  x: {url: "https://x", tool: t, token: "${K}", headers: {Authorization: "Bearer ${K}"}}
  y: {command: y, tool: t, env: {API_KEY: "${K}"}, arguments: {key: "${K}"}}
models:
  model_list: [{model_name: a, litellm_params: {model: a/b, api_key: "${K}"}}]
  router_settings: {redis_password: "${K}"}
""",
        dotenv=f"K={SECRET}",
    )
    assert not settings.problems
    assert settings.servers.models.model_list[0]["litellm_params"]["api_key"] == SECRET
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.servers)


@pytest.mark.parametrize(
    "text",
    [
        f"executors: {{x: {{preset: assistant, token: [{SECRET}]}}}}",
        f"executors: {{x: {{preset: {SECRET}, parallel: {SECRET}, timeout: {SECRET}}}}}",
        f"executors: {{x: {{url: {SECRET}, tool: t, headers: {SECRET}, cwd: {SECRET}}}}}",
        f"models: {{model_list: [{SECRET}]}}",
        f"models: {{model_list: [{{model_name: [{SECRET}]}}]}}",
        f"executors: {SECRET}",
        f"executors: {{x: {{token: {SECRET}, token: {SECRET}}}}}",
        f"executors: {{x: {{token: {SECRET}\n",
        f"executors: {{x: {{token: '{SECRET}\n",
        f"executors: {{x: {{token: *{SECRET}",
    ],
)
def test_no_secret_is_in_the_text_of_a_problem(tmp_path: Path, text: str):
    settings = settings_from(tmp_path, text)
    assert settings.problems
    assert SECRET not in repr(settings.problems)
    assert all(SECRET not in str(problem) for problem in settings.problems)


def test_the_variables_of_the_home_do_not_leak_into_the_environment(tmp_path: Path):
    settings_from(tmp_path, "", dotenv="FROM_THE_HOME=1")
    assert "FROM_THE_HOME" not in os.environ


# what is required, and what is not


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("routing:\n  default: ${NOWHERE}\n", "routing.default"),
        ("limits:\n  max_attempts: ${NOWHERE}\n", "limits.max_attempts"),
        ("limits:\n  engine_idle_seconds: 1${NOWHERE}\n", "limits.engine_idle_seconds"),
    ],
)
def test_a_variable_that_holds_for_every_task_is_required(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str, key: str
):
    monkeypatch.delenv("NOWHERE", raising=False)
    settings = settings_from(tmp_path, text)
    problem = the_problem(settings)
    assert problem.where == f"servers.yaml line 2, {key}"
    assert "NOWHERE" in problem.what
    assert settings.problem_of("assistant") == settings.problem_of("claude_code") == problem


@pytest.mark.parametrize(
    "text",
    [
        "executors: {x: {preset: assistant, model: '${NOWHERE}'}}",
        "routing: {rules: [{executor: '${NOWHERE}'}]}",
        "models: {gateway: {base_url: 'http://x', api_key: '${NOWHERE}'}}",
        "models: {for: {coding: '${NOWHERE}'}}",
        "models: {defaults: {temperature: '${NOWHERE}'}}",
        "direct: {mine: {base_url: 'http://x', models: {default: m}, key: '${NOWHERE}'}}",
        "github_key: ${NOWHERE}",
        "fault_handler: {check_interval: '${NOWHERE}'}",
    ],
)
def test_any_other_variable_takes_away_what_it_is_in_and_no_more(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str
):
    monkeypatch.delenv("NOWHERE", raising=False)
    settings = settings_from(tmp_path, text)
    problem = the_problem(settings)
    assert problem.what == "the variable NOWHERE is not set"
    assert not problem.disables_all


def test_a_yaml_bomb_is_refused_at_its_first_alias(tmp_path: Path):
    levels = "\n".join(f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 30))
    problem = the_problem(settings_from(tmp_path, f"l0: &l0 [lol]\n{levels}\n"))
    assert problem.what == "line 2, column 10: is an alias (*name): write the value out"


def test_a_file_of_five_megabytes_is_refused_unread(tmp_path: Path):
    problem = the_problem(settings_from(tmp_path, "executors:\n" + "# much\n" * 750_000))
    assert "is larger than" in problem.what


# another file


def test_a_file_that_is_named_is_in_force_and_dotenv_stays_that_of_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("OF_THE_HOME", raising=False)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".env").write_text("OF_THE_HOME=yes")
    (tmp_path / ".env").write_text("OF_THE_HOME=no")
    (tmp_path / "other.yaml").write_text("executors: {other: {preset: assistant, model: '${OF_THE_HOME}'}}")
    monkeypatch.setenv("OMNI_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMNI_CONFIG", str(tmp_path / "other.yaml"))
    settings = load(Home.locate())
    assert settings.servers.executors["other"].model == "yes"
    assert str(settings) == str(tmp_path / "other.yaml")


def test_a_file_that_is_named_and_not_there_is_a_problem_and_no_default(tmp_path: Path):
    settings = load(Home(tmp_path, tmp_path / "gone.yaml"))
    problem = the_problem(settings)
    assert (problem.where, problem.what) == (str(tmp_path / "gone.yaml"), "is not there")
    assert settings.problem_of("assistant") == problem


# backup keys


def keys_of(settings: Settings) -> dict[str, str]:
    return {name: key.get_secret_value() for name, key in settings.backup_keys.items()}


@pytest.fixture
def no_github_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_LITELLM_KEY", raising=False)


@pytest.mark.usefixtures("no_github_key")
@pytest.mark.parametrize(
    ("text", "dotenv", "keys"),
    [
        ("", "", {}),
        ("", "GITHUB_LITELLM_KEY=d", {"anthropic": "d", "openrouter": "d"}),
        ("github_key: f", "GITHUB_LITELLM_KEY=d", {"anthropic": "f", "openrouter": "f"}),
        ("github_key: ${GITHUB_LITELLM_KEY}", "GITHUB_LITELLM_KEY=d", {"anthropic": "d", "openrouter": "d"}),
        (
            "direct: {mine: {base_url: 'http://x', models: {default: m}, key: own}}",
            "GITHUB_LITELLM_KEY=d",
            {"mine": "own"},
        ),
        (
            "github_key: f\ndirect: {anthropic: {base_url: 'http://x', key: own}, openrouter: {base_url: 'http://y'}}",
            "",
            {"anthropic": "own", "openrouter": "f"},
        ),
    ],
)
def test_a_backup_key_is_the_rows_own_then_the_files_then_that_of_the_environment(
    tmp_path: Path, text: str, dotenv: str, keys: dict[str, str]
):
    assert keys_of(settings_from(tmp_path, text, dotenv=dotenv)) == keys


def test_the_environment_goes_before_the_dotenv_also_for_the_backup_key(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.setenv("GITHUB_LITELLM_KEY", "e")
    assert keys_of(settings_from(tmp_path, "", dotenv="GITHUB_LITELLM_KEY=d"))["anthropic"] == "e"


@pytest.mark.usefixtures("no_github_key")
@pytest.mark.parametrize(
    "text",
    [
        "github_key: ${GITHUB_LITELLM_KEY}",
        "github_key: ${NOWHERE}",
        "github_key: ${BROKEN",
        "direct: {mine: {base_url: 'http://x', models: {default: m}, key: '${NOWHERE}'}}",
        "direct: {mine: {base_url: 'http://x', models: {default: m}, key: 'sk-${NOWHERE}'}}",
    ],
)
def test_a_variable_without_a_value_never_becomes_a_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str):
    monkeypatch.delenv("NOWHERE", raising=False)
    settings = settings_from(tmp_path, text)
    assert keys_of(settings) == {}
    assert len(settings.problems) == 1


@pytest.mark.usefixtures("no_github_key")
def test_a_base_url_of_ones_own_goes_with_a_key_of_ones_own(tmp_path: Path):
    settings = settings_from(
        tmp_path, "direct: {anthropic: {base_url: 'http://relay:1/', models: {default: m}, key: k}}"
    )
    assert settings.servers.direct["anthropic"].base_url == "http://relay:1"
    assert keys_of(settings) == {"anthropic": "k"}


# what LiteLLM knows otherwise


def test_a_variable_as_litellm_writes_it_is_filled_in_from_the_home_or_costs_its_row(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    monkeypatch.delenv("NOWHERE", raising=False)
    text = """\
models:
  model_list:
    - model_name: a
      litellm_params: {model: openai/x, api_key: os.environ/KEY}
    - model_name: b
      litellm_params: {model: openai/x, api_key: os.environ/NOWHERE}
"""
    settings = settings_from(tmp_path, text, dotenv="KEY=sk-1")
    assert [row["litellm_params"]["api_key"] for row in settings.servers.models.model_list] == ["sk-1"]
    problem = the_problem(settings)
    assert problem.where == "servers.yaml line 6, models.model_list.1.litellm_params.api_key"
    assert problem.what == "the variable NOWHERE is not set"
    assert "KEY" not in os.environ


@pytest.mark.parametrize(
    ("setting", "words", "fix"),
    [
        ("drop_parms: true", "'drop_parms' is no key here", "did you mean 'drop_params'?"),
        ("callbacks: [a.b]", "'callbacks' loads code of its own", "leave it in the LiteLLM proxy"),
        ("success_callback: [langfuse]", "'success_callback' loads code of its own", "leave it in the LiteLLM proxy"),
        ("set_verbose: true", "'set_verbose' has LiteLLM print prompts", "leave it in the LiteLLM proxy"),
    ],
)
def test_a_setting_of_litellm_that_means_nothing_here_is_named_and_the_others_hold(
    tmp_path: Path, setting: str, words: str, fix: str
):
    settings = settings_from(tmp_path, f"models: {{litellm_settings: {{modify_params: true, {setting}}}}}")
    problem = the_problem(settings)
    assert words in problem.what
    assert fix in problem.fix
    assert settings.servers.models.litellm_settings.modify_params


@pytest.mark.parametrize("section", ["litellm_settings: {drop_params: false}", "router_settings: {timeout: 5}"])
def test_settings_for_litellm_in_process_do_nothing_beside_a_proxy_and_say_so(tmp_path: Path, section: str):
    settings = settings_from(tmp_path, f"models: {{gateway: {{base_url: 'http://localhost:4000'}}, {section}}}")
    assert "does nothing beside gateway" in the_problem(settings).what
    assert settings.servers.models.gateway is not None


def test_a_default_that_no_call_has_is_named_and_the_others_hold(tmp_path: Path):
    settings = settings_from(tmp_path, "models: {defaults: {temperature: 0.7, temprature: 1}}")
    assert the_problem(settings).fix == "did you mean 'temperature'?"
    assert settings.servers.models.defaults.said == {"temperature": 0.7}


def test_a_provider_without_a_model_is_a_problem(tmp_path: Path):
    settings = settings_from(tmp_path, "direct: {mine: {base_url: 'https://x'}, anthropic: {base_url: 'https://y'}}")
    problem = the_problem(settings)
    assert problem.where == "servers.yaml line 1, direct.mine"
    assert "needs models" in problem.what
    assert settings.servers.direct["anthropic"].model_for("coding") == "claude-sonnet-4-6"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("servers.yaml", 'executors:\n  "\\ud800": {command: cat}\n'),
        ("servers.yaml", 'executors:\n  x: {command: "\\udfff", handles: [x]}\n'),
        ("mcp.json", '{"mcpServers": {\n"\\ud800": {"command": "cat"}}}'),
    ],
)
def test_half_a_character_is_refused_with_its_line(tmp_path: Path, name: str, text: str):
    (tmp_path / name).write_text(text)
    problem = the_problem(load(Home(tmp_path, tmp_path / name)))
    assert problem.what.startswith("line 2: holds half a character")
    assert problem.disables_all


def test_what_cannot_be_taken_out_of_a_file_disables_all_of_it_and_raises_nothing():
    tree = {"executors": {"\ud800": {"command": "cat", "handles": ["x"]}}}
    document = Document(name="servers.yaml", tree=tree, lines={})
    servers, problems = check(Translation(kind=Kind.OURS, document=document), {})
    assert servers == ServersFile()
    assert [problem.disables_all for problem in problems] == [True]


@pytest.mark.timeout(20)
def test_a_pipe_in_place_of_a_file_is_a_problem_and_not_waited_for(tmp_path: Path):
    os.mkfifo(tmp_path / "servers.yaml")
    assert the_problem(load(Home(tmp_path))).what == "is no regular file"
