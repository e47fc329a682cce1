"""What the doctor judges that cannot be injected into a home: the disk, packages, mounts; and its commands."""

import json
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
import yaml
from anyio.to_thread import run_sync
from packaging.requirements import Requirement

from omni_mcp.doctor import clients, engine, ledger, machine, memory, report
from omni_mcp.doctor.finding import Finding, Severity
from omni_mcp.doctor.scene import Scene, scene_of
from omni_mcp.doctor.shell import first_keys, kept, replaced
from omni_mcp.home import Home
from omni_mcp.ledger.sqlite import SqliteLedger
from tests.unit.test_memory import left

ROOT = Path(__file__).parents[2]
GIB = 1 << 30


@pytest.mark.parametrize(("free", "severity"), [(2 * GIB, "ok"), (GIB // 2, "warning"), (GIB // 100, "error")])
def test_a_disk_is_judged_by_what_is_free(free: int, severity: str) -> None:
    assert ledger.disk(free, Path("/home")).severity == severity


def test_a_package_out_of_its_range_is_named_with_the_command_that_installs_it() -> None:
    needed = [Requirement(each) for each in ("good>=1", "old>=2,<3", "gone>=1")]
    found = list(machine.misfits(needed, {"good": "1.5", "old": "1.9"}.get))
    assert [(each.about, each.severity) for each in found] == [("old", "error"), ("gone", "error")]
    assert str(found[0].fix).endswith("-m pip install 'old<3,>=2'")


def test_a_home_on_a_network_file_system_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mount = SimpleNamespace(mountpoint=str(tmp_path), fstype="nfs4")

    def mounts(**_: bool) -> Sequence[SimpleNamespace]:
        return [mount]

    monkeypatch.setattr(psutil, "disk_partitions", mounts)
    [network, _disk] = ledger.place(scene_of(Home(tmp_path / "home")))
    assert (network.code, network.severity) == ("ledger-network", "error")


@pytest.mark.parametrize("blocked", ["file", "file/below"])
def test_a_home_below_a_file_names_the_file(tmp_path: Path, blocked: str) -> None:
    (tmp_path / "file").write_text("")
    scene = scene_of(Home(tmp_path / blocked))
    found = [finding for finding in report.examine(scene.home) if finding.severity is Severity.ERROR]
    assert [finding.code for finding in found] == ["home-is-a-file"]
    assert str(tmp_path / "file") in found[0].text
    assert str(found[0].needs).startswith("a decision")


@pytest.mark.parametrize(
    ("holds", "mode", "fix"),
    [
        ("ledger.db", 0o755, "chmod 700"),
        ("servers.yaml", 0o750, "chmod 700"),
        ("a", 0o755, None),
        ("ledger.db", 0o1777, None),
    ],
)
def test_only_a_home_of_ours_is_to_be_closed_and_that_is_a_decision(
    tmp_path: Path, holds: str, mode: int, fix: str | None
) -> None:
    (tmp_path / holds).write_text("")
    tmp_path.chmod(mode)
    [found] = ledger.folder(scene_of(Home(tmp_path)))
    assert found.code == "home-open"
    assert found.fix == (fix and f"{fix} {tmp_path}")
    assert bool(found.needs) == bool(fix)


def test_models_that_lack_a_variable_are_one_finding_also_in_a_translated_file(tmp_path: Path) -> None:
    row = "{model_name: m, litellm_params: {model: openai/m, api_key: '${NO_SUCH_KEY}'}}"
    (tmp_path / "servers.yaml").write_text(f"model_list: [{row}]\nmcp_servers: {{a: {{preset: assistant}}}}\n")
    codes = [each.code for each in report.examine(Home(tmp_path))]
    assert codes.count("variable-unset") == 1
    assert not {"no-model", "executor-unusable"} & set(codes)


def test_a_check_that_breaks_is_a_finding_and_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(scene: Scene) -> Sequence[Finding]:
        raise OSError(str(scene.home.root))

    monkeypatch.setattr(report, "CHECKS", [broken, machine.python])
    found = report.examine(Home(tmp_path))
    assert [finding.code for finding in found] == ["check-broken", "python"]


@pytest.mark.parametrize(
    "text",
    [
        "a:\n  p: {model: x, key: y}\n  q: { model: z}\n",
        "a:\n  p:\n    model: x\n    key: y\n  q:\n      model: z\n",
    ],
)
def test_pairs_are_put_before_the_first_keys_of_mappings(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a file.yaml"
    file.write_text(text)
    lines = [number for number, line in enumerate(text.splitlines(), 1) if "model" in line]
    command = first_keys(file, [(line, "model", f"order: {n}") for n, line in enumerate(lines, 1)])
    subprocess.run(["/bin/sh", "-c", str(command)], check=True)
    assert yaml.safe_load(file.read_text())["a"] == {
        "p": {"order": 1, "model": "x", "key": "y"},
        "q": {"order": 2, "model": "z"},
    }


def test_a_word_is_replaced_in_its_line_only_and_the_old_file_is_kept(tmp_path: Path) -> None:
    file = tmp_path / "it's.yaml"
    file.write_text("handels: 1\nhandels: 2\n")
    subprocess.run(["/bin/sh", "-c", str(replaced(file, 2, "handels:", "handles:"))], check=True)
    assert file.read_text() == "handels: 1\nhandles: 2\n"
    assert file.with_name("it's.yaml.bak").read_text() == "handels: 1\nhandels: 2\n"
    assert replaced(file, 1, "x|; rm -rf y:", "z:") is None


@pytest.mark.parametrize(
    "line",
    [
        "x: {command: /bin/cat, env: {arg: keepme}, arg: [hello]}",
        'x: {"arg": [hello], command: "say arg: now"}',
        "args: {env: 1}",
    ],
)
def test_a_word_that_does_not_stand_exactly_once_in_its_line_is_left_to_the_editor(tmp_path: Path, line: str) -> None:
    file = tmp_path / "servers.yaml"
    file.write_text(f"{line}\n")
    assert replaced(file, 1, "arg:", "args:") is None


def test_a_word_at_the_begin_of_a_longer_one_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "servers.yaml"
    file.write_text("quick2: quick\n")
    subprocess.run(["/bin/sh", "-c", str(replaced(file, 1, "quick", "slow"))], check=True)
    assert file.read_text() == "quick2: slow\n"


def test_a_pair_is_put_nowhere_when_two_mappings_of_the_line_begin_alike(tmp_path: Path) -> None:
    file = tmp_path / "servers.yaml"
    file.write_text("- {model_info: {model: x}, litellm_params: {model: x}}\n")
    assert first_keys(file, [(1, "model", "order: 1")]) is None


def test_a_value_is_asked_for_and_kept_for_its_owner_only(tmp_path: Path) -> None:
    dotenv = tmp_path / ".env"
    subprocess.run(["/bin/sh", "-c", kept("A_KEY", dotenv)], check=True, input=b"sk-$x #1\n")
    assert dotenv.read_text() == "\nA_KEY='sk-$x #1'\n"
    assert dotenv.stat().st_mode & 0o777 == 0o600


def stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: Mapping[str, Any]) -> Finding:
    """Return what is said of a client whose entry starts a program that is gone."""
    file = tmp_path / ".cursor/mcp.json"
    file.parent.mkdir()
    file.write_text(json.dumps({"mcpServers": {"omni": {"command": "/gone/omni-mcp", **entry}}}))
    monkeypatch.setenv("HOME", str(tmp_path))
    return next(each for each in clients.clients(scene_of(Home(tmp_path / "home"))) if each.code == "client-stale")


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"args": [], "env": {"OMNI_HOME": "/a b"}}, "--home '/a b'"),
        ({"args": ["--home", "/a", "--config=/c.yaml"]}, "--home /a --config /c.yaml"),
        ({"args": ["--home", "/a"], "env": {"OMNI_HOME": "/other"}}, "--home /a"),
    ],
)
def test_a_stale_entry_of_a_client_is_written_anew_with_the_places_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: Mapping[str, Any], words: str
) -> None:
    found = stale(tmp_path, monkeypatch, entry)
    assert f"install cursor {words} --force --yes" in str(found.fix)
    assert (found.safe, found.needs) == (True, None)


@pytest.mark.parametrize(
    ("entry", "dropped"),
    [
        ({"env": {"OMNI_HOME": "--yes"}}, "--home '--yes'"),
        ({"env": {"OMNI_HOME": "home"}}, "--home 'home'"),
        ({"args": ["--home"]}, "--home ''"),
        ({"args": ["serve"], "env": {"A_KEY": "sk-secret"}, "cwd": "/x"}, "cwd, env A_KEY, args"),
    ],
)
def test_an_entry_of_a_client_that_would_lose_something_is_a_decision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, entry: Mapping[str, Any], dropped: str
) -> None:
    found = stale(tmp_path, monkeypatch, entry)
    assert str(found.fix).endswith("install cursor --force --yes")
    assert (found.safe, found.needs) == (False, f"a decision: it drops {dropped}")


def test_every_code_is_in_the_documentation() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "omni_mcp/doctor").glob("*.py"))
    codes = set(re.findall(r'(?:code=|ok\(|note\()\s*"([a-z-]+)"', source)) | {"no-model", "executor-unusable"}
    told = set(re.findall(r"^\| `([a-z-]+)`", (ROOT / "docs/doctor.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert codes == told


def test_a_memory_server_that_is_not_there_is_told_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "servers.yaml").write_text("memory: {kind: server-memory, command: no-such-program}\n")
    [found] = memory.memory_server(scene_of(Home(tmp_path)))
    assert (found.code, found.severity) == ("memory-missing", Severity.ERROR)
    assert "no-such-program" in found.text
    (tmp_path / "servers.yaml").write_text("memory: {kind: embedded}\n")
    assert list(memory.memory_server(scene_of(Home(tmp_path)))) == []


async def test_what_a_memory_server_never_took_is_told(tmp_path: Path) -> None:
    async with SqliteLedger(Home(tmp_path).ledger) as opened:
        await left(opened, "deploy it", owed=True)
        owed = await opened.owed_memory()
        assert owed is not None
        assert await run_sync(lambda: list(memory.given_up(scene_of(Home(tmp_path))))) == []
        await opened.put_off_memory(owed.number, trouble="gone", due_at=None)
        [found] = await run_sync(lambda: list(memory.given_up(scene_of(Home(tmp_path)))))
    assert found.text == "the memory server never took what 1 tasks left: gone"


@pytest.mark.parametrize("line", ["2026-01-01 12:00:00,000 INFO it: down", '{"time": "2026-01-01T12:00:00"}'])
def test_an_engine_that_ended_well_is_no_crash_however_it_logs(line: str, tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.engine_log.parent.mkdir(parents=True, exist_ok=True)
    home.engine_log.write_text(f"{line}\n")
    assert [each.code for each in engine.engine(scene_of(home)) if each.severity is Severity.ERROR] == []
    home.engine_log.write_text(f"{line}\nValueError: boom\n")
    assert [each.code for each in engine.engine(scene_of(home))] == ["engine-crashed"]
