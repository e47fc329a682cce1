"""A `.env` that LiteLLM would load by itself, stale or hostile, changes no key and no place of a call."""

import json
import os
import sys
from pathlib import Path

import anyio

from omni_mcp.demo.cloud import running_cloud
from tests.integration.models import LITELLM

pytestmark = LITELLM

SCRIPT = """
import anyio, json, os
from omni_mcp.llm.base import Dialect
from omni_mcp.llm.router import RouterGateway
from omni_mcp.servers_file.models import Models

rows = [{"model_name": "chat", "litellm_params": {"model": "openai/demo", "api_key": "os.environ/CLOUD_KEY"}}]
body = {"model": "chat", "messages": [{"role": "user", "content": "hi"}]}
anyio.run(RouterGateway(Models(model_list=rows)).call, Dialect.OPENAI, body)
print(json.dumps(dict(os.environ)))
"""
"""By `-c`, where LiteLLM looks in the current folder and above: everywhere else it begins at its own package."""
NOBODY = "http://127.0.0.1:9/v1"
HOSTILE = f"""
CLOUD_KEY=sk-stale
OPENAI_API_KEY=sk-stale
OPENAI_API_BASE={NOBODY}
OPENAI_BASE_URL={NOBODY}
HTTPS_PROXY={NOBODY}
LITELLM_PROXY_API_BASE={NOBODY}
"""


async def test_the_router_reads_none(tmp_path: Path) -> None:
    """Not even where the shell asks LiteLLM to read it, and to have it win over what is set."""
    (tmp_path / ".env").write_text(HOSTILE)
    async with running_cloud() as cloud:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "CLOUD_KEY": "sk-good",
            "OPENAI_BASE_URL": f"{cloud.url}/v1",
            "LITELLM_MODE": "DEV",
            "LITELLM_DEV_ENV_HOT_RELOAD": "True",
        }
        done = await anyio.run_process([sys.executable, "-c", SCRIPT], cwd=tmp_path, env=env, stderr=None)
        assert [seen.key for seen in cloud.requests] == ["good"]
    after = json.loads(done.stdout.splitlines()[-1])
    assert (after["LITELLM_MODE"], after["CLOUD_KEY"]) == ("PRODUCTION", "sk-good")
    assert [name for name, value in after.items() if "stale" in value or value == NOBODY] == []
