"""What the monitor sees through is the way that a model call takes."""

import pytest
from anyio import create_task_group, create_tcp_listener
from anyio.abc import SocketAttribute, SocketStream

from omni_mcp.decide.health import Verdict
from omni_mcp.probes import HttpProbes
from omni_mcp.servers_file.models import Gateway

ALIVE = b'HTTP/1.1 200 OK\r\ncontent-length: 12\r\nconnection: close\r\n\r\n"I\'m alive!"'


async def test_a_gateway_elsewhere_is_probed_by_the_way_that_calls_take(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    async def proxy(stream: SocketStream) -> None:
        async with stream:
            asked.append(await stream.receive())
            await stream.send(ALIVE)

    async with await create_tcp_listener(local_host="127.0.0.1") as listener, create_task_group() as tasks:
        tasks.start_soon(listener.serve, proxy)
        port = listener.extra(SocketAttribute.local_port)  # noqa: S610 - no Django
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        probes = HttpProbes(Gateway(base_url="http://litellm.invalid:4000"), {}, {})
        assert (await probes.litellm(limit=5.0, deep=False)).verdict is Verdict.OK
        tasks.cancel_scope.cancel()
    assert asked[0].startswith(b"GET http://litellm.invalid:4000/health/liveliness ")
