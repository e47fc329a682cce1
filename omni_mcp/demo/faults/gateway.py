"""A labelled stand-in for the LiteLLM proxy, for a machine without it: it passes calls on to the stub clouds.

`python -m omni_mcp.demo.faults.gateway --port P --chat URL --messages URL --log FILE`. Of the proxy it has what an
outage shows: `/health/liveliness`, which stays well while its clouds are dark, and what it then says of them
(HTTP 429, `all_deployments_in_cooldown`). Each look at it is logged, as the stub cloud logs its own.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import anyio
import httpx
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from omni_mcp.demo.cloud import CHAT, MESSAGES, MODELS
from omni_mcp.demo.faults.stage import LITELLM_KEY, MODELS_OF, PRICES
from omni_mcp.llm.loopback import serving

LIVELINESS = "/health/liveliness"

COOLDOWN = {"error": {"message": "No deployments available", "type": "all_deployments_in_cooldown", "code": "429"}}

PASSED_ON = frozenset({"content-type", "anthropic-version", "anthropic-beta"})


class Gateway:
    """Passes each dialect on to its cloud, under the name that the cloud has for the model."""

    def __init__(self, clouds: dict[str, str], log: Path) -> None:
        """Take the base URL of the cloud of each path."""
        self._clouds = clouds
        self._log = log
        self._client = httpx.AsyncClient(timeout=None, trust_env=False)  # noqa: S113 - the engine has the deadline

    def app(self) -> Starlette:
        """Return the ASGI app."""
        doors = [Route(path, self._knocked) for path in (LIVELINESS, MODELS)]
        calls = [Route(path, self._pass_on, methods=["POST"]) for path in self._clouds]
        return Starlette(routes=[*doors, *calls, Route("/v1/model/info", self._prices)])

    async def _knocked(self, request: Request) -> Response:
        async with await anyio.open_file(self._log, "a", encoding="utf-8") as file:
            await file.write(json.dumps({"at": time.time(), "path": request.url.path, "mode": "ok"}) + "\n")
        return JSONResponse("I'm alive!" if request.url.path == LIVELINESS else {"data": []})

    async def _pass_on(self, request: Request) -> Response:
        body: dict[str, Any] = json.loads(await request.body())
        body["model"] = MODELS_OF.get(str(body.get("model")), body.get("model"))
        headers = {name: value for name, value in request.headers.items() if name in PASSED_ON}
        url = self._clouds[request.url.path] + request.url.path
        try:
            answer = await self._client.post(url, json=body, headers={**headers, "x-api-key": LITELLM_KEY})
        except httpx.TransportError:
            return JSONResponse(COOLDOWN, 429, {"retry-after": "1"})
        told = {"x-litellm-model-id": str(body["model"]), "content-type": answer.headers["content-type"]}
        return Response(answer.content, answer.status_code, told)

    async def _prices(self, _request: Request) -> Response:
        rows = [
            {"model_info": {"id": name, "input_cost_per_token": paid, "output_cost_per_token": got}}
            for name, (paid, got) in PRICES.items()
        ]
        return JSONResponse({"data": rows})


async def _serve(port: int, gateway: Gateway) -> None:
    async with serving(gateway.app(), port=port):
        await anyio.sleep_forever()


def main() -> None:
    """Serve until ended."""
    parser = argparse.ArgumentParser(description="A stand-in for the LiteLLM proxy.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--chat", required=True, help="base URL of the cloud for chat completions")
    parser.add_argument("--messages", required=True, help="base URL of the cloud for messages")
    parser.add_argument("--log", type=Path, required=True, help="append each look as a JSON line")
    given = parser.parse_args()
    anyio.run(_serve, given.port, Gateway({CHAT: given.chat, MESSAGES: given.messages}, given.log))


if __name__ == "__main__":
    main()
