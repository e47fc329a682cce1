"""The command that has a LiteLLM proxy try the layers of each model in their order."""

import difflib
import os
import shutil
from pathlib import Path
from typing import Annotated

import typer

from omni_mcp.cli.base import clear_errors, command, err, out
from omni_mcp.cli.clients import Agreed, confirmed
from omni_mcp.errors import SettingsError
from omni_mcp.translate.in_order import in_order
from omni_mcp.yaml_file import text_of

BACKUP = ".bak"


@command()
def layers(
    file: Annotated[Path, typer.Argument(help="The config.yaml of your LiteLLM proxy.", show_default=False)],
    yes: Agreed = False,
) -> None:
    """Have a LiteLLM proxy try the layers of each model in their order: its file gets `order`, and no retries.

    Shows each changed line and asks; the file as it was stays beside it as `.bak`. Restart the proxy afterwards.
    Example: `omni-mcp layers ~/litellm/config.yaml`
    """
    with clear_errors():
        path = file.expanduser().resolve()  # a link stays one
        before = _text(path)
        after = in_order(before, path)
        if after == before:
            out.print(f"{path} keeps its order already: nothing is changed", markup=False, highlight=False)
            return
        diff = difflib.unified_diff(before.splitlines(), after.splitlines(), str(path), str(path), lineterm="", n=1)
        err.print("\n".join(diff), markup=False, highlight=False)
        if not (yes or confirmed()):
            raise typer.Exit(1)
        if _text(path) != before:
            raise SettingsError(f"{path} was changed meanwhile", next_step="look at it, and ask again")
        _replace(path, after)
    said = f"{path} is changed, as it was it is in {path.name}{BACKUP}: restart the proxy, then omni-mcp doctor"
    out.print(said, markup=False, highlight=False)


def _text(path: Path) -> str:
    """Return what is in the file. Raises SettingsError."""
    try:
        return text_of(path)
    except FileNotFoundError as error:
        raise SettingsError(f"{path} is not there", next_step="name the config.yaml of your proxy") from error


def _replace(path: Path, text: str) -> None:
    """Put the text in the place of the file, whole or not at all; a copy stays. Raises SettingsError."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        shutil.copy2(path, path.with_name(path.name + BACKUP))
        shutil.copy2(path, new)
        new.write_text(text, encoding="utf-8")
        new.replace(path)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise SettingsError(
            f"{path} cannot be changed: {error.strerror}", next_step="mend that, and ask again"
        ) from error
