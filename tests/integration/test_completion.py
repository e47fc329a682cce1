"""Shell completion through the protocol that each shell speaks, and in a real bash."""

import json
import os
import shutil
import sys
from pathlib import Path

import anyio
import pytest

from tests.integration.house import LIMIT, House, house

PROGRAM = str(Path(sys.executable).with_name("omni-mcp"))


async def completed(here: House, line: str, **more: str) -> str:
    """Complete the last word of a line as bash asks for it; what is said to people would be in the middle of it."""
    asked = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1), "_OMNI_MCP_COMPLETE": "complete_bash"}
    with anyio.fail_after(LIMIT):
        done = await anyio.run_process([PROGRAM], env={**here.env, **asked, **more}, check=False)
    assert done.stderr == b""
    return done.stdout.decode()


async def submitted(here: House, text: str) -> str:
    code, said = await here.cli("submit", text, "--type", "echo", "--json")
    assert code == 0, said
    return json.loads(said)["task_id"]


async def test_an_open_task_is_offered_everywhere_and_one_that_is_over_where_it_can_be_read(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        nobody = {"command": "/no-such-program", "tool": "t", "handles": ["echo"]}
        here.configure(executors={"nobody": nobody})
        ended, waiting = await submitted(here, "first"), await submitted(here, "second")
        assert (await here.cli("cancel", ended))[0] == 0
        assert (await completed(here, "omni-mcp status ")).split() == [waiting, ended]
        assert (await completed(here, "omni-mcp cancel ")).split() == [waiting]
        assert (await completed(here, f"omni-mcp resume {waiting[:3]}")).split() == [waiting]
        assert (await completed(here, f"omni-mcp watch {ended[:12]}")).split() == []
        elsewhere = await completed(here, f"omni-mcp --home {here.home.root} watch ", OMNI_HOME=str(tmp_path / "other"))
        assert elsewhere.split() == [waiting]


async def test_zsh_and_fish_are_told_what_a_task_is_about(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"nobody": {"command": "/no-such-program", "tool": "t", "handles": ["echo"]}})
        task = await submitted(here, "write a haiku")
        line = {"_TYPER_COMPLETE_ARGS": "omni-mcp status ", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
        for shell in ("zsh", "fish"):
            env = {**here.env, **line, "_OMNI_MCP_COMPLETE": f"complete_{shell}"}
            said = (await anyio.run_process([PROGRAM], env=env)).stdout.decode()
            assert task in said
            assert "write a haiku" in said


async def test_executors_types_and_clients_are_offered_as_configured(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        here.configure(executors={"bench": here.workshop(), "other": here.workshop("until")})
        assert (await completed(here, "omni-mcp submit x --executor ")).split() == ["bench", "other"]
        types = (await completed(here, "omni-mcp route x --type ")).split()
        assert {"echo", "until", "coding", "general", "always_on"} == set(types)
        assert (await completed(here, "omni-mcp install claude-")).split() == ["claude-code", "claude-desktop"]
        assert (await completed(here, "omni-mcp uninstall js")).split() == ["json"]


@pytest.mark.parametrize("content", ["executors: [", "executors: {x: {prset: y}}", None])
async def test_what_cannot_be_known_is_not_offered_and_not_complained_about(
    tmp_path: Path, content: str | None
) -> None:
    async with house(tmp_path) as here:
        if content is not None:
            here.home.servers.write_text(content)
        here.home.ledger.write_bytes(b"no ledger at all " * 100)
        assert (await completed(here, "omni-mcp status ")).split() == []
        await completed(here, "omni-mcp submit x --executor ")
        assert here.home.ledger.read_bytes() == b"no ledger at all " * 100


async def test_looking_for_tasks_makes_no_ledger(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        assert (await completed(here, "omni-mcp status ")).split() == []
        assert list(here.home.root.iterdir()) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
async def test_a_real_bash_completes_after_it_was_installed(tmp_path: Path) -> None:
    async with house(tmp_path) as here:
        env = {**here.env, "PATH": os.pathsep.join([str(Path(PROGRAM).parent), here.env["PATH"]])}
        install = ["bash", "--norc", "-c", "omni-mcp --install-completion; true"]
        said = await anyio.run_process(install, env=env)
        assert b"bash completion installed" in said.stdout
        line = "COMP_WORDS=(omni-mcp install cur); COMP_CWORD=2; _omni_mcp_completion omni-mcp"
        script = f'source ~/.bashrc; complete -p omni-mcp; {line}; echo "${{COMPREPLY[@]}}"'
        asked = await anyio.run_process(["bash", "--norc", "-c", script], env=env)
        registered, offered = asked.stdout.decode().splitlines()
        assert registered.endswith("-F _omni_mcp_completion omni-mcp")
        assert offered == "cursor"
