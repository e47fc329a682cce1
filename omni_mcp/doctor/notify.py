"""Who is told of changes of mode: whether each channel can work, and whether it took what it was told."""

from collections.abc import Iterator

import anyio

from omni_mcp.doctor.finding import AN_EDIT, Finding, Severity, note, ok
from omni_mcp.doctor.ledger import rows_of
from omni_mcp.doctor.scene import Scene
from omni_mcp.doctor.shell import edit, ours
from omni_mcp.errors import NotTold
from omni_mcp.ledger import statements as sql
from omni_mcp.notify.apprise import Apprise
from omni_mcp.notify.channels import channels_of
from omni_mcp.notify.desktop import NAME, desktop


def channels(scene: Scene) -> Iterator[Finding]:
    """Say which channels there are; apprise is asked whether it knows its URLs. Nothing is sent."""
    notify = scene.settings.servers.notify
    if notify.desktop and isinstance(absent := desktop(), str):
        yield note("desktop-absent", absent, about=NAME)
    wrong = [misfit for place, url in enumerate(notify.apprise) if (misfit := _misfit(Apprise(url), place, scene))]
    yield from wrong
    if good := [name for name in channels_of(notify) if name not in {each.about for each in wrong}]:
        yield ok("notify", f"changes of mode are told to: {', '.join(good)}")


def _misfit(channel: Apprise, place: int, scene: Scene) -> Finding | None:
    try:
        anyio.run(channel.check)
    except NotTold as error:
        if not error.final:  # a busy machine, not a bad URL
            return None
        fix = edit(scene.home.servers, scene.line("notify", "apprise", str(place)))
        return Finding(
            code="notify-url",
            severity=Severity.ERROR,
            text=error.message,
            about=channel.name,
            fix=fix,
            needs=AN_EDIT,
        )
    return None


def deliveries(scene: Scene) -> Iterator[Finding]:
    """Yield the channels that did not take what they were told last."""
    there = channels_of(scene.settings.servers.notify)
    for row in rows_of(scene, sql.LATE):
        if row["channel"] in there:
            text = f"did not take the last {row['n']} notices: {row['trouble']}"
            fix = ours(scene.home, "notify", "--test")
            yield Finding(code="notify-late", severity=Severity.WARNING, text=text, about=row["channel"], fix=fix)


def given_up(scene: Scene) -> Iterator[Finding]:
    """Yield the channels that never took some of what they were told."""
    for row in rows_of(scene, sql.GIVEN_UP):
        text = f"{row['n']} notices were given up: {row['trouble']}"
        fix = ours(scene.home, "notify", "--again")
        yield note("notify-given-up", text, about=row["channel"], fix=fix)
