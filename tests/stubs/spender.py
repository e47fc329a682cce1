"""A process that spends: a relay of its own on a shared ledger, and callers that call until a budget stops them.

`spender.py LEDGER CLOUD TASK DAILY_USD UNKNOWN_USD CALLERS` prints how many calls were served, and how many refused for
money.
"""

import sys
from collections import Counter
from contextlib import nullcontext
from pathlib import Path

import anyio
import httpx
from pydantic import SecretStr

from omni_mcp.decide.budgets import Limits
from omni_mcp.ledger.sqlite import SqliteLedger
from omni_mcp.llm.direct import DirectGateway
from omni_mcp.llm.relay import Relay
from omni_mcp.purse import Purse
from omni_mcp.servers_file.direct import DirectRow
from omni_mcp.task import SystemClock

LIMIT = 150.0
"""Seconds that anything may take."""
BODY = {"max_tokens": 64, "stream": True, "messages": [{"role": "user", "content": "spend"}]}


class Open:
    """Doors that are always open."""

    def opens(self, provider: str) -> bool:
        """Let every call through."""
        del provider
        return True

    def through(self, provider: str) -> nullcontext[None]:
        """Hear nothing."""
        del provider
        return nullcontext()


def gateway_to(cloud: str) -> DirectGateway:
    """Return a provider whose prices LiteLLM's list has."""
    row = DirectRow(base_url=cloud, models={"default": "claude-haiku-4-5"})
    return DirectGateway({"anthropic": (row, SecretStr("key"))}, Open())


async def main(ledger: Path, cloud: str, task: str, limits: Limits, callers: int) -> None:
    """Spend until nothing is left."""
    ends: Counter[int] = Counter()
    purse = Purse(limits=limits, clock=SystemClock())
    async with SqliteLedger(ledger, patience=LIMIT) as book, Relay(gateway_to(cloud), book) as relay:
        endpoint = relay.endpoint(task, attempt=1, model="m", allowance=purse)
        headers = {"x-api-key": endpoint.token.get_secret_value()}
        async with httpx.AsyncClient(base_url=endpoint.base_url, headers=headers, timeout=LIMIT) as client:

            async def call_on() -> None:
                while 402 not in ends:
                    ends[(await client.post("/v1/messages", json=BODY)).status_code] += 1

            async with anyio.create_task_group() as group:
                for _ in range(callers):
                    group.start_soon(call_on)
    sys.stdout.write(f"{ends[200]} {ends[402]}\n")


if __name__ == "__main__":
    place, url, task_id, usd, unknown, count = sys.argv[1:]
    kept_to = Limits(executor="e", daily_usd=float(usd), unknown_usd=float(unknown))
    anyio.run(main, Path(place), url, task_id, kept_to, int(count))
