"""Which backends the settings mean."""

from pathlib import Path

import pytest

from omni_mcp.home import Home
from omni_mcp.llm import backends
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.settings import GITHUB_KEY, Settings
from omni_mcp.switch import ProviderDoors
from omni_mcp.testing import FakeModes, ToldClock

GATEWAY = {"gateway": {"base_url": "http://localhost:4000"}}
OPEN = ProviderDoors(FakeModes(ToldClock()))
ROW = {"model_list": [{"model_name": "a", "litellm_params": {"model": "openai/x"}}]}


def settings(tmp_path: Path, **sections: object) -> Settings:
    return Settings(home=Home(tmp_path), servers=ServersFile.model_validate(sections))


@pytest.mark.parametrize(("models", "name"), [(GATEWAY, "litellm-proxy"), (ROW, "litellm-router"), ({}, None)])
def test_litellm_is_the_proxy_else_the_router_else_nobody(tmp_path: Path, models: object, name: str | None):
    assert getattr(backends.primary(settings(tmp_path, models=models)), "name", None) == name


def test_without_a_backup_key_nobody_is_called_directly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv(GITHUB_KEY, raising=False)
    assert backends.direct(settings(tmp_path), OPEN) is None
    found = backends.direct(settings(tmp_path, github_key="sk-backup"), OPEN)
    assert found is not None
    assert found.name == "direct"
