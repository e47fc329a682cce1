"""Judge a file row by row: what of it can be used, and what is wrong with the rest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from pydantic import ValidationError

from omni_mcp.file_check.crossed import crossed
from omni_mcp.file_check.misshapen import misshapen
from omni_mcp.file_check.problem import Problem
from omni_mcp.file_check.shape import fits, unit
from omni_mcp.servers_file.whole import ServersFile
from omni_mcp.translate.kind import Translation
from omni_mcp.yaml_file import REFERENCE, Document, Flaw, KeyPath, entries, expand, without

APPRISE = "omni-mcp[apprise]"
"""The extra without which there are no notices through apprise."""
LACKS_APPRISE = f"{APPRISE} is not installed"

AS_WRITTEN = tuple(("fault_handler", "repair", key) for key in ("commands", "start", "restart"))
"""Where `${NAME}` is not ours to fill in: a shell does, and what it fills in may be a secret."""
REQUIRED = (("routing", "default"), ("limits", "*"))
"""What holds for every task: without its variable nobody can say how tasks are meant to run, so none does."""


def check(translation: Translation, variables: Mapping[str, str]) -> tuple[ServersFile, Sequence[Problem]]:
    """Return what of a file can be used, and what is wrong with the rest."""
    document = translation.document
    try:
        servers, flaws = _usable(document.tree, translation.flaws, variables)
    except ValidationError as error:
        return ServersFile(), [_unusable(document, error)]
    return servers, [_problem(flaw, document) for flaw in _gathered(flaws, document)]


def _unusable(document: Document, error: ValidationError) -> Problem:
    """Return the problem of a file of which nothing can be used: what is wrong cannot be taken out of it."""
    what = error.errors(include_input=False, include_url=False)[0]["msg"]
    return Problem(where=document.name, what=what, fix=f"mend {document.name}", disables_all=True)


def _gathered(flaws: Sequence[Flaw], document: Document) -> Iterator[Flaw]:
    """Yield the flaws; a variable that many models want is one, which names the lines of the others."""
    lacking: dict[str, list[Flaw]] = {}
    for flaw in flaws:
        if flaw.unset and flaw.path[:2] == ("models", "model_list"):
            lacking.setdefault(flaw.what, []).append(flaw)
        else:
            yield flaw
    for first, *others in lacking.values():
        lines = ", ".join(sorted({str(document.line(other.path)) for other in others}, key=int))
        yield replace(first, what=f"{first.what} (also on line {lines})") if others else first


def _usable(
    tree: Mapping[str, Any], known: Sequence[Flaw], variables: Mapping[str, str]
) -> tuple[ServersFile, Sequence[Flaw]]:
    """Return what of the file can be used, and what is wrong with the rest: a flaw takes away its own row only."""
    filled, unset = expand(tree, variables, as_written=AS_WRITTEN)
    found = (*crossed(filled), *misshapen(filled), *_lacking(filled), *_written_out(tree), *unset, *known)
    flaws = {flaw.path: flaw for flaw in found}
    gone = {unit(path) for path, flaw in flaws.items() if flaw.costs}
    return ServersFile.model_validate(without(filled, gone)), list(flaws.values())


def _lacking(tree: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield what is asked for and comes with an extra that is not installed."""
    asked: Any = tree.get("notify")
    if isinstance(asked, dict) and "apprise" in asked and find_spec("apprise") is None:
        yield Flaw(path=("notify", "apprise"), what=LACKS_APPRISE, fix=f'pip install "{APPRISE}"')


def _written_out(tree: Mapping[str, Any]) -> Iterator[Flaw]:
    """Yield tokens of callers that stand in the file themselves: files are copied, shown and committed."""
    http: Any = tree.get("http")
    for name, row in entries(dict(entries(http)).get("tokens")):
        token = dict(entries(row)).get("token")
        if isinstance(token, str) and not REFERENCE.fullmatch(token):
            fix = "put the token into the .env of the home as OMNI_TOKEN=…, and write ${OMNI_TOKEN} here"
            yield Flaw(path=("http", "tokens", name, "token"), what="is not a variable", fix=fix)


def _problem(flaw: Flaw, document: Document) -> Problem:
    row = fits(unit(flaw.path), ("executors", "*"))
    return Problem(
        where=document.where(flaw.path),
        what=flaw.what,
        fix=flaw.fix,
        executor=flaw.path[1] if row else None,
        disables_all=_hides_executors(flaw.path, document) or (flaw.unset and _is_required(flaw.path)),
        section=flaw.path[0] if flaw.path else None,
    )


def _is_required(path: KeyPath) -> bool:
    return any(fits(path, pattern) for pattern in REQUIRED)


def _hides_executors(path: KeyPath, document: Document) -> bool:
    """Whether executors are meant here that cannot be read: then the default ones would be somebody else's choice."""
    unknown = len(path) == 1 and path[0] not in ServersFile.model_fields
    return path == ("executors",) or (unknown and "executors" not in document.tree)
