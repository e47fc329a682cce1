"""The real OpenClaw gateway: what our tests take for granted of it, and what passes between it and us."""

import json

from tests.integration.real_openclaw import REAL_OPENCLAW, RealOpenclaw

pytestmark = REAL_OPENCLAW


async def test_a_turn_of_the_gateway_is_one_call_of_the_stub_cloud(openclaw: RealOpenclaw) -> None:
    before = len(openclaw.cloud.calls)
    code, said = await openclaw.cli("agent", "--agent", "main", "--message", 'SCRIPT:[{"text": "forty-two"}]', "--json")
    assert code == 0, said
    assert json.loads(said)["result"]["payloads"][0]["text"] == "forty-two"
    assert [call["text"] for call in openclaw.cloud.calls[before:]] == ["forty-two"]
