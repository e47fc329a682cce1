"""A virtual router as people write it: its layers are shuffled, doctor says so, and its fix makes them hold."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from omni_mcp.demo.cloud import CHAT, Cloud, running_cloud
from tests.integration.house import House, free_port, house
from tests.integration.real_proxy import MASTER_KEY, REAL_PROXY, proxy_of

OURS = Path(__file__).parents[1] / "data/virtual_router.yaml"
USERS = next(
    (file for up in OURS.parents if (file := up / "shared/data/virtual-router.yaml").exists()), Path("not-there")
)
"""That of a public project; not ours to commit."""
FREE = "http://cliproxyapi:8317/v1"
"""Its first layer, which no variable of it moves."""
BASES: Sequence[Sequence[str]] = (
    ("FREE_API_BASE",),
    ("NEW_API_BASE", "NEW_API_ANTHROPIC_BASE"),
    ("ZHIPU_BASE_URL", "ZHIPU_ANTHROPIC_BASE"),
    ("ARK_OPENAI_BASE", "ARK_CLAUDE_BASE", "VOLCES_KIMI_BASE"),
)
"""Variables with the address of each layer."""
FILES = [
    pytest.param(OURS, marks=REAL_PROXY),
    pytest.param(USERS, marks=[*REAL_PROXY, pytest.mark.skipif(not USERS.exists(), reason="not here")]),
]
KEYS = ("FREE_API_KEY", "CHAT_AUTO_API_KEY", "NEW_API_KEY", "ZHIPU_API_KEY", "ARK_API_KEY", "VOLCES_KIMI_API_KEY")
CALLS = 40
CALLBACK = "from litellm.integrations.custom_logger import CustomLogger\nrouter_instance = CustomLogger()\n"
"""Stands for the callback module of the second one, which does nothing to a call either."""


def variables(clouds: Sequence[Cloud]) -> Mapping[str, str]:
    """Return the router's own variables, with stubs for its layers."""
    bases = {
        name: cloud.url + ("" if "ANTHROPIC" in name or "CLAUDE" in name else "/v1")
        for names, cloud in zip(BASES, clouds, strict=True)
        for name in names
    }
    return {
        **bases,
        **dict.fromkeys(KEYS, "none"),
        "LITELLM_MASTER_KEY": MASTER_KEY,
        "UI_USERNAME": "u",
        "UI_PASSWORD": "p",
    }


async def test_the_order_is_written_on_consent_once_and_the_old_file_is_kept(tmp_path: Path) -> None:
    """What LiteLLM then does, the next test has."""
    config = tmp_path / "config.yaml"
    config.write_bytes(OURS.read_bytes())
    async with house(tmp_path) as here:
        assert (await here.cli("layers", str(config)))[0] == 1, "nobody is here to agree"
        assert config.read_bytes() == OURS.read_bytes()
        assert (await here.cli("layers", str(config), "--yes"))[0] == 0
        written = config.read_bytes()
        assert (await here.cli("layers", str(config), "--yes"))[0] == 0
    assert config.with_name("config.yaml.bak").read_bytes() == OURS.read_bytes()
    assert config.read_bytes() == written
    rows = [row for row in yaml.safe_load(written)["model_list"] if row["model_name"] == "auto-chat"]
    assert [row["litellm_params"]["order"] for row in rows] == [1, 3, 2, 4]


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("file", FILES)
async def test_the_layers_hold_once_doctors_fix_was_run(tmp_path: Path, file: Path) -> None:
    async with AsyncExitStack() as stack:
        clouds = [await stack.enter_async_context(running_cloud()) for _ in BASES]
        here = await stack.enter_async_context(house(tmp_path))
        config = tmp_path / "router" / "config.yaml"
        config.parent.mkdir()
        config.write_text(file.read_text(encoding="utf-8").replace(FREE, f"{clouds[0].url}/v1"), encoding="utf-8")
        (config.parent / "vibe_router.py").write_text(CALLBACK)
        port = free_port()
        gateway = {"base_url": f"http://127.0.0.1:{port}", "api_key": MASTER_KEY, "for": {"default": "auto-chat"}}
        here.configure(
            executors={"assistant": {"preset": "assistant"}},
            models={"gateway": gateway},
            fault_handler={"repair": {"config": str(config), "restart": "true"}},
        )
        before, found = await behind(here, config, port, clouds)
        assert before < CALLS * 0.75, "by chance: a quarter of them"
        [finding] = [each for each in found if each["about"] == "auto-chat"]
        assert (finding["severity"], finding["safe"]) == ("warning", False)
        assert f" layers {config} " in finding["fix"]
        written = config.read_text(encoding="utf-8")
        code, said = await here.cli("layers", str(config))
        assert (code, "nobody is here to agree" in said, "+      order: 1" in said) == (1, True, True), said
        assert config.read_text(encoding="utf-8") == written
        assert (await here.cli("layers", str(config), "--yes"))[0] == 0
        assert config.with_name("config.yaml.bak").read_text(encoding="utf-8") == written
        after, found = await behind(here, config, port, clouds)
        assert (after, found) == (CALLS, [])


async def behind(
    here: House, config: Path, port: int, clouds: Sequence[Cloud]
) -> tuple[int, Sequence[Mapping[str, Any]]]:
    """Run the proxy with its file; returns how many calls layer 1 served, and what doctor finds of the layers."""
    async with proxy_of(config, port=port, variables=variables(clouds)) as proxy:
        headers = {"authorization": f"Bearer {MASTER_KEY}"}
        async with httpx.AsyncClient(base_url=proxy.url, headers=headers, timeout=60, trust_env=False) as client:
            asked = len(clouds[0].requests)
            for number in range(CALLS):
                body = {"model": "auto-chat", "messages": [{"role": "user", "content": f"Plan {number}"}]}
                (await client.post(CHAT, json=body)).raise_for_status()
        _, said = await here.cli("doctor", "--json")
        found = [each for each in json.loads(said)["findings"] if each["code"] == "layers-shuffled"]
        return len(clouds[0].requests) - asked, found
