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
OTHERS: Mapping[str, str] = {
    sql.CLAIMABLE: sql.CLAIMABLE_LATERAL,
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
)
"""Words of SQLite, and what PostgreSQL says."""

_STAMPS = ("at", "before", "deadline", "due_at", "now", "seen_until", "since", "told_at", "until", "was_seen")
TYPES: Mapping[str, str] = {
    **dict.fromkeys((*_STAMPS, "input_tokens", "n", "notice", "output_tokens", "row"), "bigint"),
    **dict.fromkeys(("attempt", "inline", "limit", "number", "offset", "pid", "priority"), "integer"),
    **dict.fromkeys(("add", "budget_usd", "cost_usd"), "double precision"),
    **dict.fromkeys(("cloud", "consent", "everyone", "for_people", "only_if_idle", "over", "usable"), "boolean"),
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
