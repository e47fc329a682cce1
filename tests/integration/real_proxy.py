"""The real LiteLLM proxy for tests: `make .cache/litellm-proxy/.installed` provides it; nothing leaves loopback."""

import json
import os
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio.abc import Process

from omni_mcp.llm.router import OFFLINE
from tests.integration.house import free_port, until

BINARY = Path(__file__).parents[2] / ".cache/litellm-proxy/bin/litellm"

REAL_PROXY = [
    pytest.mark.proxy,
    pytest.mark.timeout(240),
    pytest.mark.skipif(not BINARY.exists(), reason="no proxy: make .cache/litellm-proxy/.installed"),
]
"""Marks of a test that starts one; it takes 6 to 35 s until it is live."""

MASTER_KEY = "sk-master"

LIVE_LIMIT = 150.0
"""Seconds until it is live."""


@dataclass(kw_only=True)
class RealProxy:
    """A running proxy."""

    port: int
    process: Process

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://127.0.0.1:{self.port}"

    async def kill(self) -> None:
        """End it at once."""
        self.process.kill()
        await self.process.wait()


@asynccontextmanager
async def real_proxy(
    folder: Path,
    model_list: Sequence[Mapping[str, Any]],
    *,
    port: int | None = None,
    limit: float = LIVE_LIMIT,
    **sections: Any,
) -> AsyncGenerator[RealProxy]:
    """Run one until the body ends; gives it when it is live. Its log is `proxy.log` in the folder."""
    config = folder / "litellm.yaml"
    config.write_text(
        json.dumps({"model_list": model_list, "general_settings": {"master_key": MASTER_KEY}, **sections})
    )
    async with proxy_of(config, port=port, limit=limit) as proxy:
        yield proxy


@asynccontextmanager
async def proxy_of(
    config: Path, *, port: int | None = None, variables: Mapping[str, str] | None = None, limit: float = LIVE_LIMIT
) -> AsyncGenerator[RealProxy]:
    """Run one with a file of its own and these variables, in the file's folder; it has `limit` seconds to come up."""
    port, folder = port or free_port(), config.parent
    argv = [str(BINARY), "--config", str(config), "--host", "127.0.0.1", "--port", str(port), "--telemetry", "False"]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), **OFFLINE, **(variables or {})}
    with (folder / "proxy.log").open("ab") as log:
        async with await anyio.open_process(argv, cwd=folder, env=env, stdout=log, stderr=log) as process:
            proxy = RealProxy(port=port, process=process)
            try:
                await _live(proxy, limit)
                yield proxy
            finally:
                with anyio.CancelScope(shield=True):
                    if process.returncode is None:
                        await proxy.kill()


async def _live(proxy: RealProxy, limit: float) -> None:
    """Wait until it answers; it is slow to start."""
    async with httpx.AsyncClient(base_url=proxy.url, timeout=5, trust_env=False) as client:

        async def is_live() -> bool:
            assert proxy.process.returncode is None, "the proxy ended; see proxy.log"
            try:
                return (await client.get("/health/liveliness")).is_success
            except httpx.TransportError:
                return False

        await until(is_live, limit=limit)
