"""The plan's config.yaml as it stands, but for the address of its cloud: its settings take effect."""

from pathlib import Path

from omni_mcp.demo.cloud import running_cloud
from tests.integration.house import call, ended, house
from tests.integration.models import LITELLM

pytestmark = LITELLM

PLAN = Path(__file__).parents[1] / "data" / "plan_config.yaml"


async def test_its_temperature_and_its_key_reach_the_cloud_and_its_example_is_routed(tmp_path: Path):
    async with running_cloud() as cloud, house(tmp_path) as here:
        here.home.dotenv.write_text("ANTHROPIC_API_KEY=sk-ant-1234\nGITHUB_LITELLM_KEY=x\n")
        file = tmp_path / "config.yaml"
        text = PLAN.read_text(encoding="utf-8").replace("https://api.anthropic.com", cloud.url)
        file.write_text(text, encoding="utf-8")
        async with here.client("--config", str(file)) as client:
            mode = await call(client, "system_mode")
            assert mode.get("problems") is None
            assert mode["executors"]["openclaw"] == "usable"
            assert "rewrites" in mode["settings"]
            task = await call(client, "submit_task", description="查一下天气", type="general")
            done = await ended(client, task["task_id"], limit=90)  # it loads LiteLLM
            assert (done["state"], done["requested"], done["served_by"]) == ("completed", "openclaw", "assistant")
            assert done["model"] == "claude-3-5-sonnet"
        assert {(seen.said.get("temperature"), seen.key) for seen in cloud.requests} == {(0.7, "1234")}
