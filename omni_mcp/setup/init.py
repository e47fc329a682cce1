"""Make the first servers.yaml of a home: look, compose, check what came out, write it beside its schema."""

import os
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, cast

from omni_mcp.clients import files
from omni_mcp.errors import BadRequest, SettingsError
from omni_mcp.file_check.check import check
from omni_mcp.home import Home
from omni_mcp.settings import Settings, load
from omni_mcp.settings_file import read
from omni_mcp.setup.clouds import MASTER_KEY
from omni_mcp.setup.look import Found, Proxy, look
from omni_mcp.setup.text import SCHEMA, masked, text_of
from omni_mcp.setup.tree import tree_for
from omni_mcp.translate.draft import Rewrite
from omni_mcp.translate.kind import Kind, Translation, kind_of, translate
from omni_mcp.translate.model_rows import names_of
from omni_mcp.views.init import InitView, RewriteView
from omni_mcp.yaml_file import Document


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What would be written, and why."""

    home: Home
    found: Found
    tree: Mapping[str, Any]
    said: str = ""
    rewrites: Sequence[Rewrite] = ()
    command: str = "omni-mcp init"
    """What plans the same again."""
    settings: Settings
    """What the file comes to, with what of it cannot be used as things are."""

    @property
    def file(self) -> Path:
        """Where it goes."""
        return self.home.root / "servers.yaml"

    @property
    def text(self) -> str:
        """The whole file."""
        return text_of(self.tree, said=self.said, repair=self._repair)

    @property
    def _repair(self) -> Mapping[str, Any] | None:
        return None if self.found.restart is None else self.found.restart.row

    def view(self, *, written: bool, backup: Path | None = None) -> InitView:
        """Show it, without a key that stands there in plain."""
        return InitView(
            file=str(self.file),
            written=written,
            backup=str(backup) if backup else None,
            found=asdict(self.found),
            text=text_of(masked(self.tree), said=self.said, repair=self._repair),
            rewrites=[RewriteView.model_validate(asdict(each)) for each in self.rewrites] or None,
            problems=[str(problem) for problem in self.settings.problems] or None,
            next_steps=list(_next_steps(self, written=written)),
        )


def plan(home: Home, *, source: Path | None, gateway: str | None) -> Plan:
    """Work out a servers.yaml for this machine, or from a file. Raises BadRequest, SettingsError; writes nothing."""
    variables = {**load(home).secrets, **os.environ}
    found = look(variables, gateway=gateway)
    if source is None:
        tree = tree_for(found)
        whole = Translation(kind=Kind.OURS, document=Document(name="servers.yaml", tree=tree, lines={}))
        settings, command = _settings(home, whole, variables), _command(home, source, gateway)
        return Plan(home=home, found=found, tree=tree, settings=settings, command=command)
    translation = _with_models(translated(source, proxy=found.proxy, forced=gateway is not None), found)
    return Plan(
        home=home,
        found=found,
        tree=translation.document.tree,
        said=f"It was {source} ({translation.kind}); `omni-mcp init --print --from` says what was rewritten, and why.",
        rewrites=translation.rewrites,
        command=_command(home, source, gateway),
        settings=_settings(home, translation, variables),
    )


def _command(home: Home, source: Path | None, gateway: str | None) -> str:
    """Return the command that plans the same again: another one would replace what was meant."""
    options = {"--from": source, "--gateway": gateway, "--home": home.root if os.environ.get("OMNI_HOME") else None}
    said = [(name, str(value)) for name, value in options.items() if value is not None]
    return shlex.join(["omni-mcp", "init", *(word for pair in said for word in pair)])


def translated(source: Path, *, proxy: Proxy | None = None, forced: bool = False) -> Translation:
    """Read somebody else's file. Raises SettingsError, and BadRequest for one that is ours already.

    Its models are called through the proxy if that is the one that runs with this file, or the user says so.
    """
    try:
        document = read(source)
        through = proxy is not None and (forced or _serves(proxy, document.tree))
        translation = translate(document, gateway=proxy.base_url if proxy and through else None)
    except FileNotFoundError as error:
        raise SettingsError(f"{source} is not there", next_step="omni-mcp init --from with a file that is") from error
    except SettingsError as error:
        raise SettingsError(f"{source}: {error.message}", next_step=error.next_step) from error
    if translation.kind is Kind.OURS:
        raise BadRequest(
            f"{source} has no part of the plan's config.yaml, of LiteLLM or of an MCP client",
            next_step=f"if it is a servers.yaml, use it as it is: omni-mcp --config {source} mode",
        )
    return translation


def _serves(proxy: Proxy, tree: Mapping[str, Any]) -> bool:
    """Whether a proxy seems to run with a file: it has one of its models, or keeps them to itself."""
    rows: Any = tree.get("model_list")
    names = names_of(cast("list[Any]", rows) if isinstance(rows, list) else [])
    return bool(set(names) & set(proxy.models)) or (not proxy.models and kind_of(tree) is Kind.LITELLM)


def _with_models(translation: Translation, found: Found) -> Translation:
    """Return a file that says nothing of models with those of this machine."""
    document, more = translation.document, tree_for(found).get("models")
    if "models" in document.tree or more is None:
        return translation
    return replace(translation, document=replace(document, tree={**document.tree, "models": more}))


def _settings(home: Home, translation: Translation, variables: Mapping[str, str]) -> Settings:
    servers, problems = check(translation, variables)
    return Settings(home=home, servers=servers, problems=problems)


def write(planned: Plan, *, force: bool) -> Path | None:
    """Write the file and its schema; returns the back-up of what was there. Raises BadRequest, SettingsError."""
    if planned.home.config is not None:
        raise BadRequest(
            f"init writes {planned.file}, but {planned.home.config} is in force",
            next_step="leave --config (or OMNI_CONFIG) away, or add --print to look only",
        )
    before = files.read(planned.file)
    if before is not None and not force:
        raise BadRequest(
            f"{planned.file} is there already; it is as it was",
            next_step=f"{planned.command} --print to look, --force to write it anew and keep a back-up",
        )
    backup = None if before is None else _free_name(planned.file)
    if before is not None and backup is not None:
        files.write(backup, before, like=planned.file)
    files.write(planned.file, planned.text.encode())
    files.write(planned.file.with_name(SCHEMA), resources.files("omni_mcp").joinpath(SCHEMA).read_bytes())
    return backup


def _free_name(path: Path) -> Path:
    names = (path.with_name(f"{path.name}.{number}.bak") for number in range(1, 1000))
    return next(name for name in names if not name.exists())


def _next_steps(planned: Plan, *, written: bool) -> Iterator[str]:
    """Yield what is to be done, in this order."""
    if not written:
        yield f"{planned.command} writes it; --force if there is one already"
    if lacking := [p for p in planned.settings.problems if "variable" in p.what]:
        yield f"set what it names, one NAME=value a line: {planned.home.dotenv} ({len(lacking)} variables are not set)"
    if not planned.settings.servers.models.configured and not _has_rows(planned.tree.get("models")):
        yield (
            f"give it a model: put a key such as ANTHROPIC_API_KEY=… into {planned.home.dotenv}, "
            f"then {planned.command} --force"
        )
    yield from _about_the_proxy(planned)
    yield "omni-mcp executors shows who can be used"
    yield 'omni-mcp submit "查一下天气" --wait'


def _has_rows(models: Any) -> bool:
    """Whether models are named: then what is wrong with them is said by the problems, and nothing has to be found."""
    return isinstance(models, Mapping) and bool(cast("Mapping[str, Any]", models).get("model_list"))


def _about_the_proxy(planned: Plan) -> Iterator[str]:
    proxy, gateway = planned.found.proxy, planned.settings.servers.models.gateway
    if proxy is None or gateway is None:
        return
    if not proxy.answers:
        yield f"start the proxy: nothing that says it is LiteLLM answers at {proxy.base_url}"
    if not gateway.use:
        yield (
            f"name its models in models.gateway.for: put {MASTER_KEY}=… into {planned.home.dotenv}, "
            f"then {planned.command} --force; or init --from its config.yaml"
        )
    if planned.found.restart is not None and planned.settings.servers.fault_handler.repair is None:
        yield "to have LiteLLM repaired when it breaks: look at repair in fault_handler, and take its # away"
