"""The plan's config.yaml as it stands, but for the address of its cloud: each of its settings takes effect."""

from pathlib import Path

from omni_mcp.demo.cloud import running_cloud
from tests.integration.house import call, ended, house
from tests.integration.models import LITELLM

pytestmark = LITELLM


async def test_its_temperature_and_its_key_reach_the_cloud_and_its_example_is_routed(tmp_path: Path):
    async with running_cloud() as cloud, house(tmp_path) as here:
        here.home.dotenv.write_text("ANTHROPIC_API_KEY=sk-ant-1234\nGITHUB_LITELLM_KEY=x\n")
        file = tmp_path / "config.yaml"
        file.write_text(
            f"""\
model_list:
  - model_name: claude-3-5-sonnet
api_base: {cloud.url}
api_key: ${{ANTHROPIC_API_KEY}}
litellm_settings:
  drop_params: true
  temperature: 0.7
github_key: ${{GITHUB_LITELLM_KEY}}
mcp_servers:
  openclaw: {{url: "ws://127.0.0.1:18789", name: "OpenClaw"}}
  claude_code: {{url: "stdio", name: "Claude Code"}}
fault_handler: {{lite_llm_timeout: 1.0, consecutive_failures: 2, check_interval: 30, cloud_check_timeout: 10}}
"""
        )
        async with here.client("--config", str(file)) as client:
            mode = await call(client, "system_mode")
            assert "problems" not in mode
            assert "comes in a later version" in mode["executors"]["openclaw"]
            assert "rewrites" in mode["settings"]
            task = await call(client, "submit_task", description="查一下天气", type="general")
            done = await ended(client, task["task_id"])
            assert (done["state"], done["requested"], done["served_by"]) == ("completed", "openclaw", "assistant")
            assert done["model"] == "claude-3-5-sonnet"
        assert {(seen.temperature, seen.key) for seen in cloud.requests} == {(0.7, "1234")}
