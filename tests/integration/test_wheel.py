"""The wheel, as somebody gets it who has never seen the repository."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools.release import build

ROOT = Path(__file__).parents[2]
LIMIT = 280

pytestmark = [pytest.mark.wheel, pytest.mark.timeout(LIMIT * 2)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel once."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder), cwd=ROOT)
    [built] = folder.glob("*.whl")
    return built


def run(*argv: str, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, env=env, capture_output=True, text=True, timeout=LIMIT, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_with_its_data_and_nothing_else(wheel: Path) -> None:
    package = ROOT / "omni_mcp"
    ours = {file.relative_to(ROOT).as_posix() for file in package.rglob("*") if file.is_file()}
    ours = {name for name in ours if "__pycache__" not in name}
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
    assert sorted(names) == sorted(ours)
    assert "omni_mcp/ledger/sql/0001_initial.sql" in names
    assert "omni_mcp/py.typed" in names


def test_the_files_of_a_release_are_built_of_what_is_committed_and_lead_to_its_docs(tmp_path: Path) -> None:
    build("v0.0.0", "https://github.com/o/n", tmp_path)
    names = sorted(file.name for file in tmp_path.iterdir())
    assert [re.sub(r"\d.*?(?=\.tar|-py3)", "V", name) for name in names] == [
        "omni_mcp-V-py3-none-any.whl",
        "omni_mcp-V.tar.gz",
    ]
    with zipfile.ZipFile(tmp_path / names[0]) as archive:
        [metadata] = [name for name in archive.namelist() if name.endswith("/METADATA")]
        told = archive.read(metadata).decode()
    assert "(https://github.com/o/n/blob/v0.0.0/docs/reliability.md)" in told
    assert "](docs/" not in told


def pins(folder: Path) -> str:
    """Write constraints.txt without its hashes, so that one wheel can be without any."""
    pinned = re.findall(r"^([^\s#]+==\S+(?: ;[^\\\n]*)?)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    (folder / "pins.txt").write_text("\n".join(pinned))
    return str(folder / "pins.txt")


def test_in_an_empty_environment_the_demo_proves_itself_without_the_repository(wheel: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    run(sys.executable, "-m", "venv", str(empty), cwd=tmp_path)
    run(str(empty / "bin/pip"), "install", "--quiet", "--constraint", pins(tmp_path), str(wheel), cwd=tmp_path)
    installed = json.loads(run(str(empty / "bin/pip"), "list", "--format", "json", cwd=tmp_path))
    assert not {"pytest", "hatchling"} & {each["name"] for each in installed}
    clean = {"PATH": os.defpath, "HOME": str(tmp_path), "TMPDIR": str(tmp_path), "LANG": "C.UTF-8"}
    proof = json.loads(run(str(empty / "bin/omni-mcp"), "demo", "--json", cwd=tmp_path, env=clean))
    assert [check for check in proof["checks"] if not check["ok"]] == []
    assert not any(tmp_path.glob("omni-demo-*"))
