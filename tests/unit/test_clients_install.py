"""Install and uninstall for each client: where it is written, how, and what is refused with the file as it was."""

import os
import sys
import sysconfig
import tomllib
from pathlib import Path

import pytest

from omni_mcp.clients import claude, json_edit
from omni_mcp.clients.catalog import CLIENTS, OPENCLAW_LIMITS, Place
from omni_mcp.clients.install import backup_of, installing, place_of, snippet, uninstalling
from omni_mcp.clients.jsonc import parse
from omni_mcp.clients.launch import answers, console_script
from omni_mcp.errors import BadRequest, OmniError, SettingsError

SCRIPT = "/opt/omni/bin/omni-mcp"
BY_FILE = sorted(CLIENTS)


@pytest.fixture(autouse=True)
def no_claude(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take `claude` away: with it nothing here would be about files."""
    monkeypatch.setattr(claude, "program", lambda: None)


def place_in(folder: Path, **variables: str) -> Place:
    return Place(platform="linux", user=folder, variables=variables, folder=folder)


def config(name: str, place: Place, content: str | None) -> Path:
    """Write the configuration of a client as it was before us."""
    path = CLIENTS[name].path(place)
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is not None:
        path.write_bytes(content.encode())
    return path


def example(name: str, kind: str) -> str | None:
    """Return what a client's file may look like."""
    if name == "codex":
        plain = 'model = "x"\n\n[mcp_servers.other]\ncommand = "y" # mine\n'
    else:
        inner = '{"other": {\n    "command": "y"}\n  }'
        for key in reversed(CLIENTS[name].keys[:-1]):
            inner = f'{{\n  "{key}":   {inner},\n "k":[1,\n2]}}'
        plain = inner + "\n"
    return {
        "missing": None,
        "empty": "",
        "nothing in it": "" if name == "codex" else "{}",
        "other servers": plain,
        "comments": f"# c\n{plain}# d" if name == "codex" else f"// c\n{plain}/* d */",
        "CRLF": plain.replace("\n", "\r\n"),
        "BOM": f"\ufeff{plain}",
        "no newline at the end": plain.rstrip("\n"),
    }[kind]


KINDS = ("missing", "empty", "nothing in it", "other servers", "comments", "CRLF", "BOM", "no newline at the end")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", BY_FILE)
def test_install_then_uninstall_leaves_the_file_byte_for_byte_as_it_was(tmp_path: Path, name: str, kind: str) -> None:
    place, content = place_in(tmp_path), example(name, kind)
    path = config(name, place, content)
    step = installing(name, place, command=SCRIPT, home=tmp_path / "home")
    assert (path.read_bytes().decode() if path.exists() else None) == content
    step.carry_out()
    written = path.read_bytes().decode()
    assert CLIENTS[name].editor.find(written, CLIENTS[name].keys)["env"] == {"OMNI_HOME": str(tmp_path / "home")}
    assert backup_of(path).exists() == (content is not None)
    uninstalling(name, place).carry_out()
    assert (path.read_bytes().decode() if path.exists() else None) == content
    assert not backup_of(path).exists()
    assert [each.name for each in path.parent.iterdir() if each.is_file()] == ([path.name] if path.exists() else [])


@pytest.mark.parametrize("name", BY_FILE)
def test_a_second_install_says_that_it_is_there(tmp_path: Path, name: str) -> None:
    place = place_in(tmp_path)
    installing(name, place, command=SCRIPT).carry_out()
    again = installing(name, place, command=SCRIPT)
    assert again.shown == ""
    assert "has it already" in again.done
    again.carry_out()


@pytest.mark.parametrize("name", BY_FILE)
def test_an_entry_that_starts_something_else_needs_force_and_comes_back(tmp_path: Path, name: str) -> None:
    place = place_in(tmp_path)
    client = CLIENTS[name]
    before = client.editor.insert("", client.keys, {"command": "/other", "args": ["serve"], "env": {"KEY": "secret"}})
    path = config(name, place, before)
    with pytest.raises(BadRequest, match="starts something else: /other serve") as refused:
        installing(name, place, command=SCRIPT)
    assert "secret" not in refused.value.message
    assert refused.value.next_step == f"omni-mcp install {name} --force"
    installing(name, place, command=SCRIPT, force=True).carry_out()
    assert client.editor.find(path.read_text(), client.keys)["command"] == SCRIPT
    uninstalling(name, place).carry_out()
    assert path.read_text() == before


@pytest.mark.parametrize("content", [None, '{"a": 1}'])
def test_a_replaced_installation_of_ours_is_not_what_comes_back(tmp_path: Path, content: str | None) -> None:
    place = place_in(tmp_path)
    path = config("cursor", place, content)
    installing("cursor", place, command="/old/omni-mcp").carry_out()
    installing("cursor", place, command=SCRIPT, force=True).carry_out()
    uninstalling("cursor", place).carry_out()
    assert (path.read_text() if path.exists() else None) == content


def test_a_replaced_installation_of_ours_goes_also_when_the_file_was_changed(tmp_path: Path) -> None:
    path = config("cursor", place_in(tmp_path), '{\n  "a": 1\n}\n')
    installing("cursor", place_in(tmp_path), command="/old/omni-mcp").carry_out()
    path.write_text(path.read_text().replace("1", "2"))
    installing("cursor", place_in(tmp_path), command=SCRIPT, force=True).carry_out()
    uninstalling("cursor", place_in(tmp_path)).carry_out()
    assert path.read_text() == '{\n  "a": 2\n}\n'


def test_a_change_since_the_installation_stays_when_it_is_undone(tmp_path: Path) -> None:
    place = place_in(tmp_path)
    path = config("gemini-cli", place, '{\n  "theme": "dark"\n}\n')
    installing("gemini-cli", place, command=SCRIPT).carry_out()
    path.write_text(path.read_text().replace("dark", "light"))
    uninstalling("gemini-cli", place).carry_out()
    assert path.read_text() == '{\n  "theme": "light"\n}\n'


def test_what_others_made_under_our_name_never_takes_the_file_with_it(tmp_path: Path) -> None:
    path = config("cursor", place_in(tmp_path), json_edit.insert("", ("mcpServers", "omni"), {"command": "/other"}))
    uninstalling("cursor", place_in(tmp_path)).carry_out()
    assert path.read_text() == '{\n  "mcpServers": {}\n}\n'


def test_uninstalling_what_is_not_there_says_so(tmp_path: Path) -> None:
    assert "does not have it" in uninstalling("cursor", place_in(tmp_path)).done
    config("cursor", place_in(tmp_path), "{}")
    assert uninstalling("cursor", place_in(tmp_path)).shown == ""


@pytest.mark.parametrize("name", [name for name in BY_FILE if name != "codex"])
@pytest.mark.parametrize(
    "content", ["not json", '{"a": 1', "[]", '{"mcpServers": 1, "servers": 1, "mcp": 1, "context_servers": 1}']
)
def test_a_file_that_is_no_configuration_is_named_and_left_as_it_is(tmp_path: Path, name: str, content: str) -> None:
    path = config(name, place_in(tmp_path), content)
    with pytest.raises(SettingsError) as refused:
        installing(name, place_in(tmp_path), command=SCRIPT)
    assert str(path) in refused.value.message
    assert refused.value.next_step
    assert path.read_text() == content


@pytest.mark.parametrize("content", ["model = ", "= 1", "[mcp_servers\n", "mcp_servers = 3\n", '{"mcpServers": {}}'])
def test_a_codex_file_that_is_no_toml_is_named_and_left_as_it_is(tmp_path: Path, content: str) -> None:
    path = config("codex", place_in(tmp_path), content)
    with pytest.raises(SettingsError) as refused:
        installing("codex", place_in(tmp_path), command=SCRIPT)
    assert str(path) in refused.value.message
    assert refused.value.next_step
    assert path.read_text() == content


@pytest.mark.parametrize("name", BY_FILE)
def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path, name: str) -> None:
    path = config(name, place_in(tmp_path), "")
    path.write_bytes('{"a": 1}'.encode("utf-16"))
    with pytest.raises(SettingsError, match="is not UTF-8 at byte 0"):
        installing(name, place_in(tmp_path), command=SCRIPT)


@pytest.mark.parametrize("name", BY_FILE)
def test_a_folder_in_its_place_is_refused(tmp_path: Path, name: str) -> None:
    CLIENTS[name].path(place_in(tmp_path)).mkdir(parents=True)
    with pytest.raises(SettingsError, match="cannot be read"):
        installing(name, place_in(tmp_path), command=SCRIPT)


@pytest.mark.parametrize("name", BY_FILE)
def test_a_read_only_file_is_left_as_it_is(tmp_path: Path, name: str) -> None:
    content = example(name, "other servers") or ""
    path = config(name, place_in(tmp_path), content)
    path.chmod(0o400)
    step = installing(name, place_in(tmp_path), command=SCRIPT)
    with pytest.raises(SettingsError, match="is read-only") as refused:
        step.carry_out()
    assert "chmod u+w" in (refused.value.next_step or "")
    assert path.read_text() == content
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("name", BY_FILE)
def test_a_file_that_is_locked_after_the_installation_is_not_undone(tmp_path: Path, name: str) -> None:
    path = config(name, place_in(tmp_path), example(name, "comments"))
    installing(name, place_in(tmp_path), command=SCRIPT).carry_out()
    path.chmod(0o400)
    written = path.read_bytes()
    with pytest.raises(SettingsError, match="is read-only"):
        uninstalling(name, place_in(tmp_path)).carry_out()
    assert path.read_bytes() == written
    path.chmod(0o600)
    uninstalling(name, place_in(tmp_path)).carry_out()
    assert path.read_bytes().decode() == example(name, "comments")


def test_a_file_where_a_folder_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / ".cursor").write_text("")
    with pytest.raises(SettingsError, match="cannot be"):
        installing("cursor", place_in(tmp_path), command=SCRIPT).carry_out()


@pytest.mark.parametrize("kind", ["empty", "comments", "CRLF"])
@pytest.mark.parametrize("name", BY_FILE)
def test_a_link_stays_a_link_and_its_target_is_edited_and_brought_back(tmp_path: Path, name: str, kind: str) -> None:
    path, content = config(name, place_in(tmp_path), None), example(name, kind) or ""
    real = tmp_path / "dotfiles"
    real.write_bytes(content.encode())
    path.symlink_to(real)
    installing(name, place_in(tmp_path), command=SCRIPT).carry_out()
    assert path.is_symlink()
    assert "omni" in real.read_text()
    assert not backup_of(path).is_symlink()
    uninstalling(name, place_in(tmp_path)).carry_out()
    assert path.is_symlink()
    assert real.read_bytes().decode() == content


@pytest.mark.parametrize("name", BY_FILE)
def test_a_link_to_nowhere_is_refused(tmp_path: Path, name: str) -> None:
    path = config(name, place_in(tmp_path), None)
    path.symlink_to(tmp_path / "gone.json")
    with pytest.raises(SettingsError, match=r"is a link to .*gone.json, which is not there"):
        installing(name, place_in(tmp_path), command=SCRIPT)


def test_permissions_stay_and_a_back_up_is_no_more_open(tmp_path: Path) -> None:
    path = config("cursor", place_in(tmp_path), "{}")
    path.chmod(0o640)
    installing("cursor", place_in(tmp_path), command=SCRIPT).carry_out()
    assert path.stat().st_mode & 0o777 == 0o640
    assert backup_of(path).stat().st_mode & 0o777 == 0o640


def test_a_new_file_is_for_its_owner_only(tmp_path: Path) -> None:
    installing("cursor", place_in(tmp_path), command=SCRIPT).carry_out()
    assert CLIENTS["cursor"].path(place_in(tmp_path)).stat().st_mode & 0o777 == 0o600


def test_what_the_client_wrote_while_the_diff_was_looked_at_is_not_overwritten(tmp_path: Path) -> None:
    path = config("cursor", place_in(tmp_path), "{}")
    step = installing("cursor", place_in(tmp_path), command=SCRIPT)
    path.write_text('{"new": 1}')
    with pytest.raises(SettingsError, match="has changed in the meantime"):
        step.carry_out()
    assert path.read_text() == '{"new": 1}'


def test_a_back_up_of_another_day_is_not_what_comes_back(tmp_path: Path) -> None:
    path = config("cursor", place_in(tmp_path), '{"today": 1}')
    backup_of(path).write_text('{"yesterday": 1}')
    installing("cursor", place_in(tmp_path), command=SCRIPT).carry_out()
    uninstalling("cursor", place_in(tmp_path)).carry_out()
    assert path.read_text() == '{"today": 1}'


def test_an_unknown_client_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="no client is called 'cluade-code'") as refused:
        installing("cluade-code", place_in(tmp_path), command=SCRIPT)
    assert refused.value.next_step == "omni-mcp install claude-code"
    with pytest.raises(BadRequest, match="no client is called"):
        place_of("Cursor", project=True)


def test_project_belongs_to_json_and_only_json_with_it_has_a_file() -> None:
    with pytest.raises(BadRequest, match="--project belongs to json"):
        place_of("cursor", project=True)
    with pytest.raises(BadRequest, match="json only prints"):
        place_of("json", project=False)
    assert place_of("json", project=True).folder == Path.cwd()


def test_what_each_client_is_given(tmp_path: Path) -> None:
    for name, client in CLIENTS.items():
        entry = client.entry(SCRIPT, None)
        assert entry.pop("type", "stdio") == "stdio", name
        assert entry == {"command": SCRIPT, "args": [], **client.stdio}, name
    installing("openclaw", place_in(tmp_path), command=SCRIPT).carry_out()
    written = parse((tmp_path / ".openclaw/openclaw.json").read_text()).value
    assert written == {"mcp": {"servers": {"omni": {"command": SCRIPT, "args": [], **OPENCLAW_LIMITS}}}}
    installing("codex", place_in(tmp_path), command=SCRIPT).carry_out()
    assert tomllib.loads((tmp_path / ".codex/config.toml").read_text())["mcp_servers"]["omni"]["command"] == SCRIPT
    assert snippet(SCRIPT, None) == {"mcpServers": {"omni": {"command": SCRIPT, "args": []}}}


@pytest.mark.parametrize(
    ("platform", "variables", "name", "path"),
    [
        ("linux", {}, "claude-code", "/u/.claude.json"),
        ("linux", {"CLAUDE_CONFIG_DIR": "/c"}, "claude-code", "/c/.claude.json"),
        ("linux", {}, "claude-desktop", "/u/.config/Claude/claude_desktop_config.json"),
        ("linux", {"XDG_CONFIG_HOME": "/x"}, "vscode", "/x/Code/User/mcp.json"),
        ("darwin", {"XDG_CONFIG_HOME": "/x"}, "vscode", "/u/Library/Application Support/Code/User/mcp.json"),
        ("darwin", {}, "claude-desktop", "/u/Library/Application Support/Claude/claude_desktop_config.json"),
        ("win32", {"APPDATA": "/roaming"}, "claude-desktop", "/roaming/Claude/claude_desktop_config.json"),
        ("win32", {}, "vscode", "/u/AppData/Roaming/Code/User/mcp.json"),
        ("win32", {}, "cursor", "/u/.cursor/mcp.json"),
        ("linux", {}, "codex", "/u/.codex/config.toml"),
        ("linux", {"CODEX_HOME": "/c"}, "codex", "/c/config.toml"),
        ("darwin", {}, "gemini-cli", "/u/.gemini/settings.json"),
        ("linux", {}, "openclaw", "/u/.openclaw/openclaw.json"),
        ("linux", {"OPENCLAW_STATE_DIR": "/s"}, "openclaw", "/s/openclaw.json"),
        ("linux", {"OPENCLAW_STATE_DIR": "/s", "OPENCLAW_CONFIG_PATH": "/c.json"}, "openclaw", "/c.json"),
        ("linux", {}, "windsurf", "/u/.codeium/windsurf/mcp_config.json"),
        ("linux", {"XDG_CONFIG_HOME": "/x"}, "zed", "/x/zed/settings.json"),
        ("darwin", {}, "zed", "/u/.config/zed/settings.json"),
        ("win32", {"APPDATA": "/roaming"}, "zed", "/roaming/Zed/settings.json"),
        ("linux", {}, "cline", "/u/.cline/data/settings/cline_mcp_settings.json"),
        ("win32", {}, "kiro", "/u/.kiro/settings/mcp.json"),
        ("darwin", {}, "lm-studio", "/u/.lmstudio/mcp.json"),
        ("linux", {}, "json", "/f/.mcp.json"),
    ],
)
def test_where_each_client_keeps_its_configuration(
    platform: str, variables: dict[str, str], name: str, path: str
) -> None:
    place = Place(platform=platform, user=Path("/u"), variables=variables, folder=Path("/f"))
    assert CLIENTS[name].path(place).as_posix() == path


def fake_claude(folder: Path, script: str) -> str:
    """Write a program that stands where `claude` would."""
    program = folder / "claude"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return str(program)


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_claude_code_is_asked_to_do_it_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_claude(tmp_path, f'echo "$@" >> {tmp_path}/asked')
    monkeypatch.setattr(claude, "program", lambda: program)
    path = config("claude-code", place_in(tmp_path), '{"mcpServers": {"omni": {"command": "/old"}}}')
    step = installing("claude-code", place_in(tmp_path), command=SCRIPT, home=Path("/h"), force=True)
    assert step.shown.splitlines() == [
        f"{program} mcp remove --scope user omni",
        f"{program} mcp add --scope user omni -e OMNI_HOME=/h -- {SCRIPT}",
    ]
    step.carry_out()
    assert len((tmp_path / "asked").read_text().splitlines()) == 2
    assert backup_of(path).read_text() == path.read_text()
    uninstalling("claude-code", place_in(tmp_path)).carry_out()
    assert not backup_of(path).exists()


@pytest.mark.skipif(os.name == "nt", reason="the stand-in is a shell script")
def test_what_claude_code_refuses_is_said_in_its_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = fake_claude(tmp_path, "echo 'not by policy' >&2; exit 1")
    monkeypatch.setattr(claude, "program", lambda: program)
    with pytest.raises(SettingsError, match="claude mcp add refused: not by policy"):
        installing("claude-code", place_in(tmp_path), command=SCRIPT).carry_out()
    monkeypatch.setattr(claude, "program", lambda: str(tmp_path / "gone"))
    with pytest.raises(SettingsError, match="did not answer"):
        installing("claude-code", place_in(tmp_path), command=SCRIPT).carry_out()


def test_the_command_is_the_console_script_by_its_absolute_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nowhere(_: str) -> str:
        return str(tmp_path / "nowhere")

    beside = Path(console_script())
    assert beside.is_absolute()
    assert beside.stem == "omni-mcp"
    link = tmp_path / beside.name
    link.symlink_to(beside)
    monkeypatch.setattr(sys, "argv", [str(link), "install"])
    assert console_script() == str(link)
    monkeypatch.setattr(sysconfig, "get_path", nowhere)
    monkeypatch.setattr(sys, "argv", ["python"])
    with pytest.raises(OmniError, match="there is no console script"):
        console_script()


def test_nothing_is_half_written_when_the_disk_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    path = config("cursor", place_in(tmp_path), "{}")
    step = installing("cursor", place_in(tmp_path), command=SCRIPT)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="No space left on device; it is as it was"):
        step.carry_out()
    assert path.read_text() == "{}"
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_openclaw_reaches_a_server_that_runs_and_starts_one_otherwise(tmp_path: Path) -> None:
    here, url = place_in(tmp_path), "http://127.0.0.1:8765/mcp"
    file = tmp_path / ".openclaw/openclaw.json"
    installing("openclaw", here, command=SCRIPT).carry_out()
    started = json_edit.find(file.read_text(), CLIENTS["openclaw"].keys)
    assert (started["command"], started["connectionTimeoutMs"]) == (SCRIPT, 30_000)
    installing("openclaw", here, command=SCRIPT, url=url, force=True).carry_out()
    reached = json_edit.find(file.read_text(), CLIENTS["openclaw"].keys)
    assert (reached["url"], reached["transport"], "command" in reached) == (url, "streamable-http", False)
    assert not installing("openclaw", here, command=SCRIPT, url=url).shown
    uninstalling("openclaw", here).carry_out()
    assert not file.exists()


def test_a_client_that_is_given_a_command_refuses_a_url(tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="Cursor is given a command, not a url"):
        installing("cursor", place_in(tmp_path), command=SCRIPT, url="http://127.0.0.1:8765/mcp")


def test_a_url_with_a_port_that_cannot_be_has_nobody_listening() -> None:
    assert not answers("http://localhost:99999/mcp")
