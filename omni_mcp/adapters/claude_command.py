"""What `claude` is started with: arguments, environment, settings, prompt. Pure, but for looking what exists.

A repository is not trusted. Its `.claude/settings.json` could move the model calls elsewhere (base URL, proxy,
Bedrock), name another model, or start programs (hooks, `apiKeyHelper`), and `--settings` beats only what it repeats.
So only the user's own settings are loaded (`--setting-sources user`), and CLAUDE.md comes back by `--add-dir`.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID

from omni_mcp.adapters.claude_gate import LOGIN
from omni_mcp.adapters.claude_result import INSTALL_FIX, RETRIES
from omni_mcp.contract import OWNER_MARK, TASK_MARK, Answered, Endpoint, RunRequest
from omni_mcp.errors import BadRequest, ExecutorUnusable
from omni_mcp.processes import SESSION_MARK
from omni_mcp.question import Action

PROFILES: Mapping[str, Sequence[str]] = {
    "read-only": ("--tools", "Read,Grep,Glob", "--permission-mode", "dontAsk"),
    "edit": ("--permission-mode", "acceptEdits", "--allowedTools", "Bash"),
    "full": ("--dangerously-skip-permissions",),
}
"""Permission profiles, the least first.

`read-only` has no tool that writes or runs anything, whatever the user's own settings allow. `edit` writes files below
the working folder and runs shell commands; the shell is not confined, so it is bounded by the user account only.
`full` asks nothing, the web included.
"""

ONLY_COMMANDS = (
    *("--tools", "Bash,Read,Grep,Glob", "--permission-mode", "dontAsk"),
    *("--disallowedTools", "Read(**/.env)", "Read(**/.env.*)"),
)
"""Of a run with `commands`: these and reading, whatever the row and the user allow; `claude_gate` lets them through."""

MAY_ASK = (
    *("--input-format", "stream-json", "--permission-prompt-tool", "stdio"),
    # Plan mode would have every task wait for somebody to approve of its plan.
    *("--disallowedTools", "EnterPlanMode", "ExitPlanMode"),
)
"""Of a run that may ask; `claude_ask` answers."""
MAY_NOT_ASK = ("--permission-prompts", "none")
"""Of one that may not: what is not allowed is denied at once."""

PASSED_ON = frozenset(
    {
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "TERM", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"),
        *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CLAUDE_CONFIG_DIR", "IS_SANDBOX", OWNER_MARK, SESSION_MARK),
    }
)
"""What the agent and its shells see of our environment."""

FIXED = {
    "DISABLE_AUTOUPDATER": "1",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "CLAUDE_CODE_ADDITIONAL_DIRECTORIES_CLAUDE_MD": "1",
    # The default of 10 hides a dead endpoint for three minutes; holding and trying again is the engine's business.
    "CLAUDE_CODE_MAX_RETRIES": str(RETRIES),
    # Longer than the relay lets a call take, and than a login of its own may be silent: we see it first.
    "API_TIMEOUT_MS": "660000",
    # Claude Code asks `git status` by itself, which would start any program that the repository's settings name here.
    "GIT_CONFIG_COUNT": "1",
    "GIT_CONFIG_KEY_0": "core.fsmonitor",
    "GIT_CONFIG_VALUE_0": "false",
}
"""In force whatever the user's own settings say."""

HANDOVER = "OMNI_HANDOVER"
"""Environment variable of `claude`: the file with the relay's token, which is gone once it has been read."""

READ_ONCE = f'cat "${HANDOVER}" 2>/dev/null && rm -f "${HANDOVER}" || echo spent'
"""How Claude Code gets the token (`apiKeyHelper`); after a 401 it asks again, and that is refused again.

In its environment every command of the agent would see the token, and in theirs every other task.
"""

GO_ON = (
    "You were interrupted. Go on with the task from where you stopped. Look at what is already done before you act, "
    "and do not repeat a step that is finished."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What the executor's row allows, for every run."""

    binary: str = "claude"
    permissions: str = "edit"
    asks: bool = False
    """Whether somebody may be asked for what the permissions do not cover; else it is denied."""
    roots: Sequence[Path] = ()
    """Folders that a `cwd` has to be below; none: any."""
    max_turns: int | None = None
    """Turns of the model that a run may take."""
    worktrees: Path = Path("worktrees")
    """Where the git worktrees of tasks are."""
    in_worktree: bool = False
    """True: every run works in one."""
    silent: float = 180
    """Seconds that a model call of a login of its own may bring nothing; of others the relay knows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One start of `claude`; `argv` lacks `--settings`, which the starter adds."""

    argv: Sequence[str]
    env: Mapping[str, str]
    cwd: Path
    settings: bytes
    """JSON, handed over without a name on disk."""
    prompt: bytes
    asks: bool
    """The prompt is a message of a dialogue, and stdin stays open for answers."""
    token: str | None = None
    """Of the relay: handed over once, through the file that `HANDOVER` names, so that no shell of the agent has it."""


def find_binary(setup: Setup) -> str:
    """Return the path of `claude`. Raises ExecutorUnusable."""
    found = shutil.which(setup.binary)
    if found is None:
        raise ExecutorUnusable(f"there is no program {setup.binary!r}", next_step=INSTALL_FIX)
    return found


def permissions_for(setup: Setup, options: Mapping[str, object], env: Mapping[str, str]) -> str:
    """Return the profile of a run: the row's, or the lower one that was asked for.

    Raises BadRequest for an unknown or a higher one, ExecutorUnusable for one that this user cannot be given.
    """
    order = list(PROFILES)
    asked = options.get("permissions", setup.permissions)
    if asked not in order:
        raise BadRequest(f"unknown permissions {asked!r}", next_step=f"use one of: {', '.join(order)}")
    if order.index(granted := str(asked)) > order.index(setup.permissions):
        raise BadRequest(
            f"options.permissions {granted!r} is more than this executor allows ({setup.permissions})",
            next_step="submit with a lower one, or raise `permissions` of its row in servers.yaml",
        )
    if granted == "full" and os.geteuid() == 0 and env.get("IS_SANDBOX") != "1":
        raise ExecutorUnusable(
            "Claude Code refuses the permissions 'full' to root",
            next_step="run as another user, lower `permissions` to edit, or set IS_SANDBOX=1 inside a container",
        )
    return granted


def turns_for(setup: Setup, options: Mapping[str, object]) -> int | None:
    """Return how many turns of the model a run may take, None: any number. Raises BadRequest for more than the row's.

    Claude Code counts them anew after a resume.
    """
    asked, limit = options.get("max_turns", setup.max_turns), setup.max_turns
    if asked is None or (isinstance(asked, int) and 1 <= asked <= (limit or asked)):
        return asked
    raise BadRequest(f"options.max_turns {asked!r} is not in 1..{limit}", next_step="submit with one that is")


def wants_worktree(setup: Setup, request: RunRequest) -> bool:
    """Whether a run works in a git worktree; a repair (`commands`) never does. Raises BadRequest.

    The row cannot be lowered, but a task may ask for one by itself.
    """
    asked = request.options.get("worktree", setup.in_worktree)
    if setup.in_worktree and not asked:
        raise BadRequest("this executor always works in a worktree", next_step="submit without options.worktree")
    return bool(asked) and request.commands is None


def folder_for(setup: Setup, cwd: str) -> Path:
    """Return the working folder, symlinks resolved. Raises BadRequest."""
    try:
        folder = Path(cwd).resolve(strict=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise BadRequest(f"the cwd {cwd!r} does not exist", next_step="submit with an existing cwd") from error
    if not folder.is_dir():
        raise BadRequest(f"the cwd {cwd!r} is not a folder", next_step="submit with a folder as cwd")
    roots = [root.expanduser().resolve() for root in setup.roots]
    if roots and not any(folder.is_relative_to(root) for root in roots):
        raise BadRequest(
            f"the cwd {str(folder)!r} is not below an allowed root",
            next_step=f"use a folder below {', '.join(map(str, roots))}, or add a root to the executor's row",
        )
    return folder


def command_for(setup: Setup, request: RunRequest, *, resume: bool, env: Mapping[str, str]) -> Command:
    """Return how to start a run. Raises ExecutorUnusable or BadRequest for one that must not start."""
    kept = request.commands is not None
    folder = folder_for(replace(setup, roots=()) if kept else setup, request.cwd)
    profile = None if kept else permissions_for(setup, request.options, env)
    granted = ONLY_COMMANDS if profile is None else PROFILES[profile]
    asks = setup.asks and profile == "edit"  # the others leave nothing open
    turns = turns_for(setup, request.options)
    argv = [
        *(find_binary(setup), "-p", "--output-format", "stream-json", "--verbose"),
        *("--setting-sources", "" if kept else "user", "--strict-mcp-config", "--add-dir", str(folder)),
        *granted,
        *(MAY_ASK if asks else MAY_NOT_ASK),
        *(("--include-partial-messages",) if request.endpoint is None else ()),
        *("--resume" if resume else "--session-id", _session_id(request.run_id)),
        *(("--model", request.model) if request.model else ()),
        *(("--max-turns", str(turns)) if turns is not None else ()),
    ]
    return Command(
        argv=argv,
        env=environment(request, env),
        cwd=folder,
        settings=json.dumps(settings(request.endpoint, request.commands)).encode(),
        prompt=prompt(request, resume=resume).encode(),
        token=None if request.endpoint is None else request.endpoint.token.get_secret_value(),
        asks=asks,
    )


def environment(request: RunRequest, env: Mapping[str, str]) -> Mapping[str, str]:
    """Return the allow-listed environment of a run, with the marks by which its whole tree is found again."""
    names = PASSED_ON.union(LOGIN) if request.endpoint is None else PASSED_ON  # a login of its own
    passed = {name: value for name, value in env.items() if name in names}
    return {"LANG": "C.UTF-8", "TERM": "dumb", **passed, **FIXED, TASK_MARK: request.task_id}


def settings(endpoint: Endpoint | None, commands: Sequence[str] | None = None) -> Mapping[str, object]:
    """Return the settings that beat the user's own: no hooks but ours, and the relay if there is one."""
    env = dict(FIXED)
    more: dict[str, object] = {"disableAllHooks": True}
    if endpoint is not None:
        env |= _relayed(endpoint)
        more["apiKeyHelper"] = READ_ONCE
    if commands is not None:
        # What a repair starts is meant to stay: without our marks no sweep takes it for a leftover of the run.
        env |= dict.fromkeys((OWNER_MARK, SESSION_MARK, TASK_MARK), "")
        more = {**more, "disableAllHooks": False, "hooks": _gate(commands)}
    return {**more, "env": env}


def _gate(commands: Sequence[str]) -> Mapping[str, object]:
    program = [sys.executable, "-P", "-m", "omni_mcp.adapters.claude_gate", json.dumps(commands)]
    return {"PreToolUse": [{"matcher": "Bash", "hooks": [{"type": "command", "command": shlex.join(program)}]}]}


def _relayed(endpoint: Endpoint) -> Mapping[str, str]:
    """Return the variables that send model calls to the relay."""
    direct = str(urlsplit(endpoint.base_url).hostname)
    return {
        "ANTHROPIC_BASE_URL": endpoint.base_url,
        "CLAUDE_CODE_API_KEY_HELPER_TTL_MS": str(2**31 - 1),  # it is read once
        **dict.fromkeys(("NO_PROXY", "no_proxy"), direct),
        **dict.fromkeys(("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_CUSTOM_HEADERS"), ""),
        **dict.fromkeys(("CLAUDE_CODE_USE_BEDROCK", "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_USE_FOUNDRY"), ""),
    }


def prompt(request: RunRequest, *, resume: bool) -> str:
    """Return what is asked. A leading blank keeps `/clear` a text: the bare word would be a command and a success."""
    if resume:
        return "\n\n".join([GO_ON, *map(_in_words, request.answers)])
    return f" {request.description}" if request.description.startswith("/") else request.description


def _in_words(answered: Answered) -> str:
    """Return what was answered while no run was there; the call that waited for it is to be made again."""
    word = {Action.ACCEPT: "Yes", Action.DECLINE: "No"}.get(answered.action, "Nobody decided")
    said = json.dumps({"asked": answered.text, "answer": word, "content": answered.content}, ensure_ascii=False)
    return f"While you were away a person answered what you had asked; make the same call again: {said}"


def _session_id(run_id: str) -> str:
    try:
        return str(UUID(run_id))
    except ValueError as error:
        raise BadRequest(f"the run id {run_id[:64]!r} is not a UUID, which Claude Code demands") from error
