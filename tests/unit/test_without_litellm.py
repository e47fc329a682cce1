"""What never loads litellm, its 5 s and 150 MB: a face at work, and model calls while providers serve directly."""

import subprocess
import sys
from pathlib import Path

import pytest

A_FACE = """
import sys, anyio
from contextlib import asynccontextmanager
from pathlib import Path
from fastmcp import Client
from omni_mcp.app.face import running_face
from omni_mcp.faces.mcp import create_face
from omni_mcp.home import Home
import omni_mcp.__main__, omni_mcp.cli.program, omni_mcp.stdio

MODELS = "models: {model_list: [{model_name: m, litellm_params: {model: openai/m, api_key: not-a-key}}]}"

async def main():
    home = Home(Path(sys.argv[1]))
    home.servers.write_text(MODELS)
    @asynccontextmanager
    async def opened():
        async with running_face(home, engine="here") as service:
            yield service
    async with Client(create_face(opened)) as client:
        task = (await client.call_tool("submit_task", {"description": "x", "budget_usd": 1})).structured_content
        for tool, arguments in (("task_status", {"task_id": task["task_id"]}), ("list_tasks", {}), ("system_mode", {})):
            await client.call_tool(tool, arguments)
        assert await client.read_resource("omni://costs")

anyio.run(main)
"""

DIRECTLY = """
import sys, anyio, httpx
from contextlib import nullcontext
from pathlib import Path
from pydantic import SecretStr
from omni_mcp.demo.cloud import running_cloud
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.llm.direct import DirectGateway
from omni_mcp.llm.relay import Relay
from omni_mcp.servers_file.direct import DirectRow
from omni_mcp.task import LOCAL, new_id
from omni_mcp.testing import a_spec
import omni_mcp.adapters.assistant, omni_mcp.app.serve, omni_mcp.engine, omni_mcp.llm.backends, omni_mcp.llm.router

class Open:
    def opens(self, provider): return True
    def through(self, provider): return nullcontext()

PROMPT = {"model": "any", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}

async def main():
    async with SqliteLedger(Path(sys.argv[1], "ledger.db")) as ledger, running_cloud() as cloud:
        await ledger.submit(a_spec(), task_id=(task_id := new_id()), choice=None)
        row = DirectRow(base_url=cloud.url, key="sk-x", models={"default": "claude-haiku-4-5"})
        gateway = DirectGateway({"anthropic": (row, SecretStr("sk-x"))}, Open())
        async with Relay(gateway, ledger) as relay, httpx.AsyncClient(timeout=60) as client:
            end = relay.endpoint(task_id, attempt=1, model="any")
            headers = {"x-api-key": end.token.get_secret_value()}
            for path in ("/v1/messages", "/v1/chat/completions"):
                for stream in (False, True):
                    answer = await client.post(end.base_url + path, json={**PROMPT, "stream": stream}, headers=headers)
                    assert answer.status_code == 200, answer.text
        spent = (await ledger.find(task_id, principal=LOCAL)).cost_usd
        assert spent and spent > 0, spent

anyio.run(main)
"""


@pytest.mark.parametrize("program", [A_FACE, DIRECTLY], ids=["face", "direct"])
def test_it_works_without_litellm(program: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", f"{program}\nsys.exit('litellm' in sys.modules)", str(tmp_path)]
    ran = subprocess.run(argv, check=False, timeout=60, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
