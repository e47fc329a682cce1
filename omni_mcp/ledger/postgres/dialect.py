"""From the SQL of the verbs, which SQLite speaks, to PostgreSQL's: what differs stands here, and nowhere else.

Nearly all statements are written so that both understand them. Pure.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

from omni_mcp.ledger import memories
from omni_mcp.ledger import statements as sql

_FOUND = """
    select m.* from memory_words w join memories m on m.n = w.n,
        to_tsquery('english', replace(replace(:words, ' OR ', ' | '), '"', '''')) wanted
    where w.words @@ wanted and {} order by ts_rank(w.words, wanted) desc, m.n desc limit :limit
"""
_LIVES = """
    insert into owners (owner, home, beat_until) values (:owner, :home, server_now() + :lease)
    on conflict (owner) do update set beat_until = excluded.beat_until
"""
_ALIVE = f"with alive as ({_LIVES} where not owners.buried returning 1)"
_RISEN = f"""
    with was as (select buried from owners where owner = :owner), alive as ({_LIVES}, buried = false returning 1)
"""
_HERE = """
    ((machine is null or machine = :machine) and (ran_on is null or ran_on = :machine)
        or cancel_requested_at is not null or deadline <= server_now())
"""
_FREE = "where state = 'idle' and principal = name"
HOMES: Mapping[str, str] = {
    sql.CLAIMABLE: sql.CLAIMABLE_LATERAL.replace(_FREE, f"{_FREE} and {_HERE}"),
    sql.NEW_TASK: sql.NEW_TASK.replace("deadline, budget_usd)", "deadline, budget_usd, machine)").replace(
        ":deadline, :budget_usd)",
        ":deadline, :budget_usd, coalesce(:on_machine, case when :cwd is not null then :machine end))",
    ),
    sql.BEGIN: f"{_ALIVE} {sql.BEGIN}".replace("where id = :id", "where exists (select 1 from alive) and id = :id"),
    sql.BIND: sql.BIND.replace("reason = :reason", "reason = :reason, ran_on = case when :stays then :machine end"),
    sql.RENEW: f"{_RISEN} {sql.RENEW}".replace(
        "where owner = :owner and", "where owner = :owner and not exists (select 1 from was where buried) and"
    ),
    sql.ENGINE: sql.ENGINE.replace("from engines", "from engines where home = :home"),
    sql.ANNOUNCE: sql.ANNOUNCE.replace("(owner,", "(home, owner,").replace("(:owner,", "(:home, :owner,"),
    sql.FORGET_ENGINES: f"{sql.FORGET_ENGINES} and home = :home",
    sql.HEALTH: f"{sql.HEALTH} where home = :home",
    sql.FORGET_HEALTH: f"{sql.FORGET_HEALTH} where home = :home",
    sql.REPORT_HEALTH: sql.REPORT_HEALTH.replace("(:name,", "(:home, :name,").replace("(name)", "(home, name)"),
}
"""Statements in which several homes stand beside each other: who may claim what, and who is alive."""
OTHERS: Mapping[str, str] = {
    **HOMES,
    memories.ADD_WORDS: "insert into memory_words (n, words) values (:n, to_tsvector('english', :words))",
    memories.RECALL: _FOUND.format("m.principal = :principal and m.project = :project"),
    memories.SEARCH: _FOUND.format(sql.SEEN.format("m.")),
}
"""Statements that are others there: a correlated join, and the index of words."""

WORDS = (
    (re.compile(r"\+(?=[a-z])"), ""),  # `+column`: keeps SQLite from an index
    (re.compile(r"glob '(\w+:)\*'"), r"^@ '\1'"),
    (re.compile(r"json_each\((:\w+)\)"), r"json_array_elements_text(\1::json) as _ (value)"),
    (
        re.compile(r"date\((\S+) / 1000000, 'unixepoch', 'localtime'\)"),
        r"to_char(to_timestamp(\1 / 1000000), 'YYYY-MM-DD')",
    ),
    (
        re.compile(re.escape("run_id = case when :over then null else run_id end")),
        r"\g<0>, ran_on = case when :over then null else ran_on end",
    ),
)
"""Words of SQLite, and what PostgreSQL says; who forgets a run forgets where it was."""

_STAMPS = ("at", "before", "deadline", "due_at", "now", "seen_until", "since", "told_at", "until", "was_seen")
TYPES: Mapping[str, str] = {
    **dict.fromkeys((*_STAMPS, "grace", "input_tokens", "lease", "n", "notice", "output_tokens", "row"), "bigint"),
    **dict.fromkeys(("attempt", "inline", "known", "limit", "number", "offset", "pid", "priority"), "integer"),
    **dict.fromkeys(("add", "budget_usd", "cost_usd"), "double precision"),
    **dict.fromkeys(("cloud", "consent", "everyone", "for_people"), "boolean"),
    **dict.fromkeys(("only_if_idle", "over", "stays", "usable"), "boolean"),
    "fault": "boolean::integer",
    "fingerprint": "bytea",
}
"""What is bound by which name; all else is text. PostgreSQL cannot always tell, and has one plan for each guess."""

_PIECES = re.compile(r"('(?:[^']|'')*')|(?<!:):(\w+)|%")


@lru_cache(maxsize=1024)
def translated(statement: str) -> str:
    """Return a statement of the verbs as psycopg takes it to PostgreSQL."""
    text = OTHERS.get(statement, statement)
    for word, said in WORDS:
        text = word.sub(said, text)
    return _PIECES.sub(_bound, text)


def _bound(piece: re.Match[str]) -> str:
    """Return a name as psycopg binds it; a percent sign, also in quoted text, is written twice for it."""
    if (name := piece.group(2)) is not None:
        return f"%({name})s::{TYPES.get(name, 'text')}"
    return piece.group(0).replace("%", "%%")
