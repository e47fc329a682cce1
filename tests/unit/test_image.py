"""The Dockerfile, .dockerignore and compose.yaml, and what `make image-check` makes of their lines."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.image.dockerfile import Stage, filled, stages
from tests.image.ignore import Context

ROOT = Path(__file__).parents[2]


def our_stages() -> list[Stage]:
    return list(stages((ROOT / "Dockerfile").read_text(encoding="utf-8")))


def the_only(stage: Stage, name: str) -> str:
    [found] = [each.text for each in stage.instructions if each.name == name]
    return found


def test_the_image_is_slim_and_its_user_has_no_rights() -> None:
    build, final, *_ = our_stages()
    assert build.base == final.base == "python:3.11-slim"
    assert the_only(final, "USER") == "omni"
    assert the_only(final, "HEALTHCHECK").endswith('CMD ["omni-mcp", "mode"]')
    assert [each.name for each in final.instructions][-1] == "ENTRYPOINT"


def test_nothing_is_installed_from_an_index_without_a_hash() -> None:
    installs = [each.text for stage in our_stages() for each in stage.instructions if "pip install" in each.text]
    assert len(installs) == 2
    for text in [*installs, *(each.text for each in our_stages()[0].instructions if "--python" in each.text)]:
        assert "--require-hashes" in text or "--constraint constraints.txt" in text


def test_only_what_is_copied_is_in_the_context(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text((ROOT / ".dockerignore").read_text(encoding="utf-8"), encoding="utf-8")
    context = Context.of(tmp_path)
    for secret in (".env", "servers.yaml", "ledger.db", ".git/config", "tests/conftest.py", ".venv/bin/python"):
        assert not context.lets_in(secret), secret
    assert context.lets_in("omni_mcp/ledger/sql/0001_initial.sql")
    assert not context.lets_in("omni_mcp/ledger/__pycache__/gate.cpython-311.pyc")
    stage = our_stages()[0]
    copied = {word for each in stage.instructions if each.name == "COPY" for word in each.words[:-1]}
    assert all(list(Context.of(ROOT).files(source)) for source in copied)


def test_compose_reaches_nobody_beyond_this_machine() -> None:
    service: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))["services"]["omni"]
    command = service["command"]
    assert command[command.index("--host") + 1] == "127.0.0.1"
    assert service["network_mode"] == "host"
    assert "ports" not in service
    assert service["volumes"] == ["omni:/data"]
    port = command[command.index("--port") + 1]
    assert f"127.0.0.1:{port}/readyz" in service["healthcheck"]["test"][-1]


def test_a_dockerfile_is_read_as_docker_reads_it() -> None:
    text = 'ARG V=3\n# no\nFROM base:${V} AS one\nRUN a \\\n  # a comment between\n && b\nFROM two\nENV A=1 B="x y"\n'
    first, second, *_ = stages(text)
    assert (first.name, first.base, second.name) == ("one", "base:3", "1")
    assert first.instructions[0].text == "a && b"
    assert second.instructions[0].pairs == [("A", "1"), ("B", "x y")]
    assert filled("/opt/bin:$PATH", {"PATH": "/bin"}) == "/opt/bin:/bin"
    with pytest.raises(ValueError, match="ONBUILD is not known here"):
        stages("FROM x\nONBUILD RUN y\n")


def test_the_cluster_reaches_nobody_beyond_this_machine_and_its_faces_want_a_token() -> None:
    services: dict[str, Any] = yaml.safe_load((ROOT / "compose.cluster.yaml").read_text(encoding="utf-8"))["services"]
    faces = [each for each in services.values() if each.get("command", [""])[0] == "serve"]
    assert len(faces) == 2
    assert services["engine"]["deploy"]["replicas"] == 3
    for name, service in services.items():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", [])), name
    for service in (*faces, services["engine"]):
        assert "OMNI_TOKEN" in service["environment"]
        assert service["build"]["args"] == {"EXTRAS": "[cluster]"}
        assert service["environment"]["OMNI_LEDGER"].startswith("postgresql://omni:$${LEDGER_PASSWORD}@postgres")
    assert "ARG EXTRAS=" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
