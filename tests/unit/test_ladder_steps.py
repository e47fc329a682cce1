"""What the scripted ladder does next, rule by rule; and what the last words of a LiteLLM mean."""

from dataclasses import replace

import pytest

from omni_mcp.adapters.ladder_steps import ENDS, MOST_STARTS, Act, Cause, Door, Kind, Seen, cause_of, next_step

DEAD = Seen(door=Door.SHUT, said="no connection", port=4000, command="litellm", grace=60, no_copy="there is no copy")
BAD = Cause(kind=Kind.CONFIG, said="the command ended with 3: Invalid routing_strategy")
ODD = Cause(kind=Kind.UNKNOWN, said="the command ended with 9: it wrote nothing")


@pytest.mark.parametrize(
    ("seen", "act", "says"),
    [
        (replace(DEAD, door=Door.WELL, said="answers"), Act.DONE, "lists its models"),
        (DEAD, Act.START, "nobody holds port 4000"),
        (replace(DEAD, command=None), Act.HAND_ON, "nothing is configured that starts it"),
        # whose the port is
        (replace(DEAD, door=Door.SILENT, others="nginx (pid 7)"), Act.REFUSE, "held by nginx (pid 7)"),
        (replace(DEAD, door=Door.STRANGE, others="nginx (pid 7)"), Act.REFUSE, "not proven to be LiteLLM"),
        (replace(DEAD, door=Door.NO_MODELS, others="nginx (pid 7)"), Act.REFUSE, "left alone"),
        (replace(DEAD, door=Door.SILENT), Act.REFUSE, "another user"),
        (replace(DEAD, door=Door.SILENT, others="docker-proxy (pid 7)", keeper=True), Act.START, "no connection"),
        (replace(DEAD, door=Door.SILENT, local=False), Act.START, "no connection"),
        # alive, and not serving
        (replace(DEAD, door=Door.NO_MODELS, own="litellm (pid 7)"), Act.REFUSE, "does not list its models"),
        (replace(DEAD, door=Door.NO_MODELS, keeper=True, others="docker-proxy"), Act.REFUSE, "does not list"),
        (replace(DEAD, door=Door.SILENT, own="litellm (pid 7)", age=61), Act.END, "does not serve"),
        (replace(DEAD, door=Door.SILENT, own="litellm (pid 7)", age=59), Act.WAIT, "may be coming up"),
        (replace(DEAD, door=Door.SILENT, own="litellm (pid 7)", age=3, paused=True), Act.END, "is paused"),
        (replace(DEAD, door=Door.SHUT, own="litellm (pid 7)", age=3), Act.WAIT, "started 3 s ago"),
        (replace(DEAD, door=Door.STRANGE, own="litellm (pid 7)", age=3), Act.END, "does not serve"),
        # its file
        (replace(DEAD, flaw="c.yaml is empty", copy="today"), Act.RESTORE, "the known-good copy of today"),
        (replace(DEAD, flaw="c.yaml is empty"), Act.REFUSE, "c.yaml is empty; there is no copy"),
        (replace(DEAD, cause=BAD, copy="today"), Act.RESTORE, "Invalid routing_strategy"),
        (replace(DEAD, cause=BAD), Act.REFUSE, "Invalid routing_strategy"),
        (replace(DEAD, cause=ODD, copy="today"), Act.RESTORE, "it wrote nothing"),
        (replace(DEAD, cause=ODD), Act.HAND_ON, "it wrote nothing; there is no copy"),
        (replace(DEAD, restored=True), Act.START, "no connection"),
        (replace(DEAD, restored=True, cause=BAD), Act.ROLL_BACK, "so the other one returns"),
        # what no file of ours mends
        (replace(DEAD, cause=Cause(kind=Kind.PORT, said="in use"), copy="today"), Act.REFUSE, "in use"),
        (replace(DEAD, cause=Cause(kind=Kind.DATABASE, said="no prisma"), copy="today"), Act.REFUSE, "no prisma"),
        # never round and round
        (replace(DEAD, starts=MOST_STARTS), Act.REFUSE, "started 3 times in ten minutes"),
        (replace(DEAD, starts=MOST_STARTS, flaw="c.yaml is empty", copy="today"), Act.REFUSE, "3 times"),
        (replace(DEAD, starts=MOST_STARTS, cause=ODD, copy="today", no_copy=""), Act.HAND_ON, "no further start now"),
        (replace(DEAD, starts=MOST_STARTS, restored=True), Act.ROLL_BACK, "no further start"),
    ],
)
def test_each_thing_that_is_seen_has_its_next_step_and_says_why(seen: Seen, act: Act, says: str):
    step = next_step(seen)
    assert (step.act, says in step.why) == (act, True), step


def test_what_is_refused_or_lacks_something_names_what_a_person_can_do():
    for seen in (replace(DEAD, others="x", door=Door.SILENT), replace(DEAD, command=None), replace(DEAD, flaw="empty")):
        assert next_step(seen).fix
    assert Act.REFUSE in ENDS


@pytest.mark.parametrize(
    ("log", "kind"),
    [
        ("yaml.parser.ParserError: while parsing a flow sequence", Kind.CONFIG),
        ("Exception: Config cannot be None or Empty", Kind.CONFIG),
        ("ImportError: Could not import y from nope_x", Kind.CONFIG),
        ("KeyError: 'model'", Kind.CONFIG),
        ("ERROR: [Errno 98] error while attempting to bind on address: address already in use", Kind.PORT),
        ("a database URL is set but the prisma CLI is neither on PATH nor importable", Kind.DATABASE),
        ("ModuleNotFoundError: No module named 'prisma'\nKilled", Kind.UNKNOWN),
        ("", Kind.UNKNOWN),
    ],
)  # fmt: skip
def test_the_last_words_of_a_litellm_tell_what_its_start_failed_of(log: str, kind: Kind):
    cause = cause_of(f"INFO: starting\n{log}\n" if log else "", ended="the command ended with 1")
    assert cause.kind is kind
    assert cause.said.startswith("the command ended with 1: ")
    assert (log.splitlines() or ["it wrote nothing"])[-1] in cause.said
