"""What the scripted ladder does next, from what was seen of LiteLLM; and what its last words mean. Pure.

Each rule knows one fault; the first one that has something to say decides. What may be ended is what is proven to be
LiteLLM, and what may be written is a copy of its file that has served before. A fault that no rule knows is handed on.
"""

import re
from dataclasses import dataclass
from enum import StrEnum

MOST_STARTS = 3
"""Starts in `STARTS_IN`; then a person has to look."""
STARTS_IN = 600.0
"""Seconds."""


class Act(StrEnum):
    """What can be done; the last three end the repair."""

    WAIT = "wait"
    """Until what is starting answers, ends, or has had its time."""
    END = "end"
    """The processes of LiteLLM: politely, 5 s later hard."""
    RESTORE = "restore"
    """The known-good file, the broken one kept beside it."""
    ROLL_BACK = "undo"
    """The file as it was before `RESTORE`."""
    START = "start"
    """By the configured command."""
    DONE = "done"
    REFUSE = "refuse"
    """The fault is known, and is not for a program to mend."""
    HAND_ON = "hand-on"
    """The fault is not known."""


ENDS = frozenset({Act.DONE, Act.REFUSE, Act.HAND_ON})


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What is done next, and why."""

    act: Act
    why: str
    fix: str | None = None
    """What a person can do, where it is refused or handed on."""


class Door(StrEnum):
    """What LiteLLM's address does when it is asked."""

    WELL = "well"
    """It says that it is alive, and lists its models."""
    NO_MODELS = "no-models"
    """It says that it is alive, and does not list its models."""
    STRANGE = "strange"
    """It answers with what LiteLLM does not say."""
    SILENT = "silent"
    """It takes the connection and says nothing, twice."""
    SHUT = "shut"
    """It takes no connection."""


class Kind(StrEnum):
    """What a start failed of, by its log."""

    CONFIG = "config"
    PORT = "port"
    DATABASE = "database"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """Why a start failed."""

    kind: Kind
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """All that a step is decided from."""

    door: Door
    said: str
    """What was heard at the door, in words."""
    port: int
    own: str | None = None
    """LiteLLM's own processes, in words: proven by their start or their command line."""
    age: float = 0.0
    """Seconds since the newest of them was started."""
    paused: bool = False
    """Whether one of them is stopped (SIGSTOP): then it is coming up no more."""
    others: str | None = None
    """Who else listens at the port, in words."""
    keeper: bool = False
    """Whether somebody else keeps its process (`restart`); then whose the port is says nothing."""
    local: bool = True
    """Whether its port is one of this machine."""
    command: str | None = None
    flaw: str | None = None
    """What is wrong with its file."""
    copy: str | None = None
    """When the known-good copy was taken, if there is one that may be put in place of the file."""
    no_copy: str = ""
    """Why there is none."""
    cause: Cause | None = None
    """Why the last start of this repair failed."""
    starts: int = 0
    """In the last ten minutes."""
    restored: bool = False
    """Whether the known-good copy stands in for the file, and has not been seen to serve yet."""
    grace: float


MENDED_BY_HAND = {
    Kind.DATABASE: 'unset DATABASE_URL, or: pip install "litellm[extra_proxy]"',
    Kind.PORT: "look who holds its port (ss -ltnp), and end that yourself",
}


def next_step(seen: Seen) -> Step:
    """Return what is done next."""
    for rule in (_well, _another, _coming, _wedged, _worse, _known, _spent, _copied, _flawed, _lacking):
        if (step := rule(seen)) is not None:
            return step
    return Step(act=Act.START, why=f"{seen.said}, and nobody holds port {seen.port}" if seen.local else seen.said)


def _well(seen: Seen) -> Step | None:
    if seen.door is Door.WELL:
        return Step(act=Act.DONE, why="LiteLLM answers and lists its models")
    if seen.door is Door.NO_MODELS and (seen.own or seen.keeper or not seen.others):
        why = f"LiteLLM is alive, but does not list its models: {seen.said}"
        return Step(act=Act.REFUSE, why=why, fix="see that api_key of models.gateway in servers.yaml is its master key")
    return None


def _another(seen: Seen) -> Step | None:
    """A process that is not proven to be LiteLLM is never ended."""
    if seen.keeper or seen.own or not seen.local:
        return None
    if seen.others is not None:
        why = f"port {seen.port} is held by {seen.others}, which is not proven to be LiteLLM ({seen.said}): left alone"
        fix = f"end it yourself, or give LiteLLM another port than {seen.port}"
        return Step(act=Act.REFUSE, why=why, fix=fix)
    if seen.door is not Door.SHUT:
        why = f"port {seen.port} is held by a process of another user ({seen.said}): left alone"
        return Step(act=Act.REFUSE, why=why, fix=f"look who it is (as root: ss -ltnp 'sport = :{seen.port}')")
    return None


def _coming(seen: Seen) -> Step | None:
    if seen.own is None or seen.age >= seen.grace or seen.paused or seen.door is Door.STRANGE:
        return None
    return Step(act=Act.WAIT, why=f"{seen.own} was started {seen.age:.0f} s ago and may be coming up")


def _wedged(seen: Seen) -> Step | None:
    if seen.own is None:
        return None
    paused = "is paused" if seen.paused else "is there and does not serve"
    return Step(act=Act.END, why=f"{seen.own} {paused}: {seen.said}")


def _worse(seen: Seen) -> Step | None:
    """What was put in place did not help, so it goes."""
    spent = seen.starts >= MOST_STARTS
    if not seen.restored or not (seen.cause or spent):
        return None
    said = seen.cause.said if seen.cause else "there may be no further start now"
    return Step(act=Act.ROLL_BACK, why=f"the known-good file did not bring it back ({said}), so the other one returns")


def _known(seen: Seen) -> Step | None:
    """Return the refusal of what no start and no file of ours would mend."""
    if seen.cause is None:
        return None
    fix = MENDED_BY_HAND.get(seen.cause.kind)
    return None if fix is None else Step(act=Act.REFUSE, why=seen.cause.said, fix=fix)


def _spent(seen: Seen) -> Step | None:
    if seen.starts < MOST_STARTS or seen.cause is not None:
        return None
    why = f"it was started {seen.starts} times in ten minutes and does not stay: {seen.said}"
    return Step(act=Act.REFUSE, why=why, fix="look at its log; a restart hides the cause and does not mend it")


def _copied(seen: Seen) -> Step | None:
    """A file that cannot serve, or that has changed since LiteLLM served with it, gives way to one that did."""
    reason = seen.flaw or (seen.cause and seen.cause.said)
    if reason is None or seen.copy is None or seen.starts >= MOST_STARTS:
        return None
    return Step(act=Act.RESTORE, why=f"{reason}; the known-good copy of {seen.copy} takes its place")


def _flawed(seen: Seen) -> Step | None:
    lacks = seen.no_copy or "there may be no further start now"
    if seen.cause is not None and seen.cause.kind is Kind.UNKNOWN:
        return Step(act=Act.HAND_ON, why=f"{seen.cause.said}; {lacks}")
    if (reason := seen.flaw or (seen.cause and seen.cause.said)) is None:
        return None
    return Step(act=Act.REFUSE, why=f"{reason}; {lacks}", fix="mend LiteLLM's file")


def _lacking(seen: Seen) -> Step | None:
    if seen.command is not None:
        return None
    why = f"{seen.said}; nothing is configured that starts it"
    return Step(act=Act.HAND_ON, why=why, fix="name `start` or `restart` in fault_handler.repair of servers.yaml")


SIGNS = (
    (Kind.PORT, re.compile(r"address already in use", re.IGNORECASE)),
    (Kind.DATABASE, re.compile(r"database url is set but|PrismaError|P1001", re.IGNORECASE)),
    (
        Kind.CONFIG,
        re.compile(r"yaml\.\w+\.\w*Error|Config file not found|Config cannot be None|Invalid routing_strategy"),
    ),
    (Kind.CONFIG, re.compile(r"Could not import ")),
    # It says that there is no prisma whenever somebody asks it without a key, and goes on.
    (Kind.CONFIG, re.compile(r"ImportError|ModuleNotFoundError(?!: No module named 'prisma')")),
    (Kind.CONFIG, re.compile(r"KeyError: 'model'|ValidationError")),
)
"""What the log of a LiteLLM that did not start says (1.106), by kind."""


def cause_of(log: str, *, ended: str) -> Cause:
    """Return why a start failed; `ended` says how, `log` is what it wrote."""
    for kind, pattern in SIGNS:
        if found := pattern.search(log):
            line = log[log.rfind("\n", 0, found.start()) + 1 :].partition("\n")[0]
            return Cause(kind=kind, said=f"{ended}: {line.strip()[:200]}")
    last = next((line.strip() for line in reversed(log.splitlines()) if line.strip()), "it wrote nothing")
    return Cause(kind=Kind.UNKNOWN, said=f"{ended}: {last[:200]}")
