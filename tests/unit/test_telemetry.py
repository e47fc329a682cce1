"""When traces are sent, what is loaded for it, and that a collector which is gone holds nobody up."""

import os
import subprocess
import sys

import pytest

from tests.integration.house import free_port

SENDS = """
import sys
from omni_mcp import telemetry
from omni_mcp.task import Usage

usage = Usage(task_id="t", attempt=1, model="m")
with telemetry.exporting():
    telemetry.GOODBYE = 0.2
    telemetry.model_call(usage, parent=None).over(usage)
print(sorted({name.split(".")[1] for name in sys.modules if name.startswith("opentelemetry.")} & {"sdk", "exporter"}))
"""
WITHOUT_THE_EXTRA = "import sys; sys.modules['opentelemetry.exporter.otlp.proto.http.trace_exporter'] = None\n" + SENDS


def run(program: str, **env: str) -> tuple[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env={**kept, **env}, check=True, timeout=60, capture_output=True, text=True
    )
    return done.stdout.strip(), done.stderr


NOWHERE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize("off", [{}, {**NOWHERE, "OTEL_SDK_DISABLED": "true"}])
def test_nothing_of_the_sdk_is_loaded_unless_it_is_told_where_to_send(off: dict[str, str]) -> None:
    assert run(SENDS, **off) == ("[]", "")


def test_without_the_extra_a_line_in_the_log_says_what_to_install() -> None:
    _, said = run(WITHOUT_THE_EXTRA, **NOWHERE)
    assert "pip install 'omni-mcp[otel]'" in said


def test_a_collector_that_is_gone_does_not_hold_up_the_end() -> None:
    out, said = run(SENDS, OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_port()}")
    assert out == "['exporter', 'sdk']"
    assert "Failed to export" not in said  # we have gone before it gave up
