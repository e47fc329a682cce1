"""A LiteLLM for tests of its repair: a small program that behaves like one, its file, and a ladder over both."""

import shlex
import shutil
import signal
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio.lowlevel
import psutil
import yaml

from omni_mcp.adapters.known_good import Keeper, read
from omni_mcp.adapters.ladder_look import START_MARK, look
from omni_mcp.adapters.repair_ladder import Ladder
from omni_mcp.contract import RunRequest, RunResult
from omni_mcp.processes import sweep
from omni_mcp.question import Action, Answer, Asked
from omni_mcp.repair_setup import LadderSetup
from tests.integration.house import free_port
from tests.integration.real_proxy import MASTER_KEY

STUB = Path(__file__).parent.parent / "stubs" / "litellm_like.py"
PATIENT, IMPATIENT = 60.0, 2.0
"""Seconds that it has to come up: where it does, and where it does not."""


@dataclass(kw_only=True)
class LiteLLM:
    """What is repaired."""

    folder: Path
    port: int = field(default_factory=free_port)
    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the ladder is told beside the usual."""

    @property
    def config(self) -> Path:
        return self.folder / "litellm.yaml"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def argv(self) -> list[str]:
        return [sys.executable, str(self.folder / "litellm"), "--config", str(self.config), "--port", str(self.port)]

    @property
    def setup(self) -> LadderSetup:
        usual: dict[str, Any] = {
            "base_url": self.url, "key": MASTER_KEY, "start": f"exec {shlex.join(self.argv)}", "config": self.config,
            "folder": self.folder / "repair", "grace": PATIENT,
        }  # fmt: skip
        return LadderSetup(**{**usual, **self.fields})

    def write(self, **tree: Any) -> None:
        self.config.write_text(yaml.safe_dump({"model_list": [], **tree}))

    def own(self) -> list[psutil.Process]:
        return list(look(self.setup).own)

    def kill(self) -> None:
        for process in (killed := self.own()):
            process.kill()
        psutil.wait_procs(killed, timeout=PATIENT)

    def stop(self) -> None:
        """Wedge it: it keeps its port and answers nothing."""
        for process in self.own():
            process.send_signal(signal.SIGSTOP)

    def broken_copies(self) -> list[Path]:
        return sorted(self.folder.glob("litellm.yaml.broken-*"))

    async def repaired(self) -> RunResult:
        """Run the ladder once, in this process."""

        async def tell(_line: str) -> None:
            await anyio.lowlevel.checkpoint()

        async def nobody(_asked: Asked) -> Answer:
            return Answer(action=Action.CANCEL)

        request = RunRequest(task_id="t", attempt=1, run_id="r", description="", cwd=str(self.folder))
        return await Ladder(self.setup).run(request, tell, nobody)

    async def serves(self) -> None:
        """Have it up, by the ladder, with its file kept."""
        assert (await self.repaired()).status == "completed"
        assert Keeper(self.setup.folder).is_kept(read(self.config))

    def served(self) -> bytes:
        """Have it dead, and its file known to be good; returns that."""
        Keeper(self.setup.folder).keep(read(self.config))
        return self.config.read_bytes()


@contextmanager
def litellm_like(folder: Path, **fields: Any) -> Generator[LiteLLM]:
    """Have one in a folder; nothing of it is left at the end."""
    it = LiteLLM(folder=folder, fields=fields)
    shutil.copy(STUB, folder / "litellm")
    it.write()
    try:
        yield it
    finally:
        sweep(START_MARK, it.url)
