"""`omni-mcp install` from the command line, and with the real Claude Code."""

import json
import os
import shutil
from pathlib import Path

import anyio
import pytest

from omni_mcp.demo.answers import MARK
from omni_mcp.demo.cloud import running_cloud
from tests.integration.house import LIMIT, House, house

CLAUDE = Path(__file__).parents[2] / ".cache/npm/node_modules/.bin/claude"
CURSOR = ".cursor/mcp.json"


async def test_the_change_is_shown_asked_about_and_undone(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        file = here.home.root / CURSOR
        file.parent.mkdir()
        file.write_text('{\n  "mcpServers": {} // none\n}\n')
        code, said = await here.cli("install", "cursor", "--dry-run")
        assert code == 0
        assert '+    "omni": {' in said
        code, said = await here.cli("install", "cursor")
        assert code == 1
        assert "nobody is here to agree" in said
        assert file.read_text() == '{\n  "mcpServers": {} // none\n}\n'
        code, said = await here.cli("install", "cursor", "--yes")
        assert code == 0
        assert f"Cursor has it, and will start it the next time that you open it: {file}" in said
        assert "clients do not see OMNI_HOME" in said
        code, said = await here.cli("uninstall", "cursor", "--yes")
        assert code == 0
        assert file.read_text() == '{\n  "mcpServers": {} // none\n}\n'


@pytest.mark.parametrize("before", [True, False], ids=["before", "behind"])
async def test_a_home_of_the_command_line_is_written_down_for_the_client(tmp_path: Path, *, before: bool) -> None:
    async with house(tmp_path) as here:
        words = ["--home", str(tmp_path / "other")], ["install", "json"]
        code, said = await here.cli(*(word for part in (words if before else words[::-1]) for word in part))
        assert code == 0
        omni = json.loads(said)["mcpServers"]["omni"]
        assert omni["env"] == {"OMNI_HOME": str(tmp_path / "other")}
        assert os.access(omni["command"], os.X_OK)


async def test_a_folder_gets_an_mcp_json_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with house(tmp_path) as here:
        code, _ = await here.cli("install", "json", "--project", "--yes")
        assert code == 0
        omni = json.loads((tmp_path / ".mcp.json").read_text())["mcpServers"]["omni"]
        assert "env" not in omni
        code, _ = await here.cli("uninstall", "json", "--project", "--yes")
        assert code == 0
        assert not (tmp_path / ".mcp.json").exists()


async def test_a_bad_file_and_a_bad_name_end_with_the_next_command(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        code, said = await here.cli("install", "curser")
        assert code == 1
        assert "next: omni-mcp install cursor" in said
        file = here.home.root / CURSOR
        file.parent.mkdir()
        file.write_text("{]")
        code, said = await here.cli("install", "cursor", "--yes")
        assert code == 1
        assert "line 1, column 2: expected a key, found ']'; it is as it was" in said
        assert "next: mend it there" in said
        assert file.read_text() == "{]"


async def test_the_help_names_every_client(tmp_path: Path) -> None:
    from omni_mcp.clients.catalog import CLIENTS

    async with house(tmp_path) as here:
        _, said = await here.cli("install", "--help")
        words = "".join(said.replace("│", "").split())  # a name may be cut at the end of a line
        assert [name for name in CLIENTS if name not in words] == []


async def claude(here: House, *arguments: str, said: str = "", **more: str) -> str:
    """Run Claude Code in the clean environment of the home, with what is said to it and more variables."""
    with anyio.fail_after(LIMIT):
        done = await anyio.run_process(
            [str(CLAUDE), *arguments], input=said.encode(), env={**clean(here), **more}, check=False
        )
    return done.stdout.decode() + done.stderr.decode()


def clean(here: House) -> dict[str, str]:
    """Return an environment in which nothing of ours is, but `claude` is found."""
    path = os.pathsep.join([str(CLAUDE.parent), str(Path(shutil.which("node") or "").parent), os.defpath])
    return {
        "PATH": path,
        "HOME": str(here.home.root),
        "DISABLE_AUTOUPDATER": "1",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


@pytest.mark.claude
@pytest.mark.skipif(not CLAUDE.exists(), reason="no claude: make test installs it")
async def test_the_real_claude_code_is_connected_and_then_has_no_trace_of_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with house(tmp_path) as here:
        file, backup = here.home.root / ".claude.json", here.home.root / ".claude.json.omni-backup"
        file.write_text(json.dumps({"numStartups": 3, "mcpServers": {"other": {"command": "/bin/false"}}}, indent=2))
        await claude(here, "mcp", "list")  # it writes what it writes at its first start
        before = file.read_text()
        monkeypatch.setenv("PATH", clean(here)["PATH"])
        home = str(here.home.root)
        code, said = await here.cli("--home", home, "install", "claude-code", "--yes")
        assert code == 0, said
        assert "mcp add --scope user omni" in said
        assert backup.read_text(encoding="utf-8") == before
        listed = await claude(here, "mcp", "list")
        assert any(line.startswith("omni:") and "Connected" in line for line in listed.splitlines()), listed
        code, said = await here.cli("uninstall", "claude-code", "--yes")
        assert code == 0, said
        assert "omni" not in await claude(here, "mcp", "list")
        assert json.loads(file.read_text())["mcpServers"] == json.loads(before)["mcpServers"]
        new = {key for key, value in json.loads(file.read_text()).items() if json.loads(before).get(key) != value}
        assert not new, f"claude itself wrote: {new}"
        assert not backup.exists()


@pytest.mark.claude
@pytest.mark.skipif(not CLAUDE.exists(), reason="no claude: make test installs it")
async def test_the_real_claude_code_takes_the_mcp_json_of_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = tmp_path / "project"
    project.mkdir()
    monkeypatch.chdir(project)
    async with house(tmp_path) as here, running_cloud() as cloud:
        here.configure(executors={"bench": here.workshop()})
        code, said = await here.cli("--home", str(here.home.root), "install", "json", "--project", "--yes")
        assert code == 0, said
        listed = await claude(here, "mcp", "list")
        assert any(line.startswith("omni:") and "Pending approval" in line for line in listed.splitlines()), listed
        task = {"description": "of a folder", "type": "echo", "wait_seconds": 20}
        script = json.dumps([{"tool": "mcp__omni__submit_task", "input": task}, {"text": "handed off"}])
        stub = {"ANTHROPIC_BASE_URL": cloud.url, "ANTHROPIC_API_KEY": "not-a-key"}
        stub["MCP_CONNECT_TIMEOUT_MS"] = str(int(LIMIT * 1000))  # of a folder's servers it waits for 5 s, then goes on
        allow = ("--allowedTools", "mcp__omni__submit_task")
        assert "handed off" in await claude(here, "-p", *allow, said=f"Do it. {MARK}{script}", **stub)
        assert [line["text"] for line in here.logged()] == ["of a folder"]
