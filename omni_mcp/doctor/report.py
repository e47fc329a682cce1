"""All checks, run side by side, and what they found."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from omni_mcp.doctor import clients, engine, executors, ledger, machine, memory, models, notify, ports, settings_file
from omni_mcp.doctor.finding import Finding, Severity, without_keys
from omni_mcp.doctor.scene import Scene, scene_of
from omni_mcp.home import Home
from omni_mcp.views.doctor import DoctorView, FindingView, FixView

Check = Callable[[Scene], Iterable[Finding]]

CHECKS: Sequence[Check] = (
    settings_file.file_in_force,
    settings_file.problems,
    settings_file.who_reads_dotenv,
    executors.executors,
    executors.what_children_see,
    executors.sessions,
    models.gateway,
    models.own_models,
    models.backup_keys,
    notify.channels,
    notify.deliveries,
    notify.given_up,
    memory.memory_server,
    memory.given_up,
    ledger.folder,
    ledger.owner,
    ledger.permissions,
    ledger.place,
    ledger.contents,
    ledger.log,
    ledger.sqlite_release,
    engine.engine,
    engine.start,
    ports.serving,
    clients.clients,
    machine.python,
    machine.packages,
    machine.environment,
    machine.proxies,
    machine.encoding,
)
"""In the order in which they are told. Each looks at one fact, changes nothing, and ends in bounded time."""

_WORST = list(Severity)


def examine(home: Home, *, deep: bool = False) -> Sequence[Finding]:
    """Run all checks side by side; what most of them do is wait."""
    scene = scene_of(home, deep=deep)
    with ThreadPoolExecutor(len(CHECKS)) as threads:
        return [finding for found in threads.map(partial(_run, scene), CHECKS) for finding in found]


def _run(scene: Scene, check: Check) -> Sequence[Finding]:
    """Run a check; one that breaks is a finding itself, and hides no other."""
    try:
        return list(check(scene))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other checks are worth telling
        return [] if isinstance(error, PermissionError) and not scene.is_open else [_broken(check, error)]


def _broken(check: Check, error: Exception) -> Finding:
    name = f"{check.__module__.rpartition('.')[2]}.{check.__name__}"
    text = f"this check broke: {type(error).__name__}: {error}"
    return Finding(code="check-broken", severity=Severity.WARNING, text=text, about=name)


def view(home: Home, findings: Sequence[Finding], mended: Sequence[FixView]) -> DoctorView:
    """Return the report, the worst last: that is what a terminal shows."""
    ranked = sorted(findings, key=lambda finding: _WORST.index(finding.severity))
    return DoctorView(
        home=str(home.root),
        settings=str(home.servers),
        worst=ranked[-1].severity,
        findings=[_shown(finding) for finding in ranked],
        mended=list(mended) or None,
    )


def _shown(finding: Finding) -> FindingView:
    return FindingView(
        code=finding.code,
        severity=finding.severity,
        text=without_keys(finding.text),
        about=finding.about,
        fix=finding.fix,
        needs=finding.needs,
        safe=finding.safe if finding.fix else None,
    )
