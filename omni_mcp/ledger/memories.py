"""What completed tasks left: the statements, and how a text becomes words that SQLite's full-text index finds.

English is stemmed by the index (`porter`). Chinese, Japanese and Korean have no blanks between words, so each two
neighbouring characters are indexed as one word: the index's own trigrams would miss words of two characters.
https://www.sqlite.org/fts5.html#tokenizers
"""

import re
from collections.abc import Iterator, Sequence

from omni_mcp.ledger import memory_outbox, memory_statements
from omni_mcp.ledger.base import Remembered
from omni_mcp.ledger.statements import SEEN
from omni_mcp.ledger.store import Connection, Values

MOST = 10_000
"""Memories that a project of a principal keeps; the oldest go first."""
ASKED_WORDS = 64
"""Different words of a text that are looked for: they say what it is about, and a long one stays quick."""
READ = 8000
"""Characters of a text that are read for them."""

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_RUN = re.compile(rf"[{_CJK}]+|[^\W{_CJK}_]+")
_SAYS_NOTHING = frozenset({
    "a", "an", "and", "are", "as", "at", "be", "by", "can", "do", "does", "for", "from", "has", "have", "how", "i",
    "if", "in", "into", "is", "it", "its", "me", "my", "not", "of", "on", "or", "our", "out", "please", "so", "that",
    "the", "their", "them", "then", "there", "these", "they", "this", "to", "up", "us", "was", "we", "were", "what",
    "when", "where", "which", "who", "why", "will", "with", "would", "you", "your",
})  # fmt: skip

ADD = """
    insert into memories (task_id, principal, project, executor, at, asked, outcome)
    select t.id, t.principal, coalesce(p.cwd, ''), coalesce(t.served_by, ''), :now, :asked, :outcome
    from tasks t join payloads p on p.task = t.n where t.id = :id
    returning n, principal, project
"""
TAKE_IN = """
    insert into memories (task_id, principal, project, executor, at, asked, outcome)
    values (:task_id, :principal, :project, :executor, :at, :asked, :outcome) returning n, principal, project
"""
ADD_WORDS = "insert into memory_words (rowid, words) values (:n, :words)"
DROP_OLDEST = f"""
    delete from memories where n in (
        select n from memories where principal = :principal and project = :project
        order by n desc limit 1000000000 offset {MOST}
    )
"""
RECALL = """
    select m.* from memory_words join memories m on m.n = memory_words.rowid
    where memory_words match :words and m.principal = :principal and m.project = :project
    order by memory_words.rank, m.n desc limit :limit
"""
_SHOWN = SEEN.format("m.")
SEARCH = f"""
    select m.* from memory_words join memories m on m.n = memory_words.rowid
    where memory_words match :words and {_SHOWN} order by memory_words.rank, m.n desc limit :limit
"""
NEWEST = f"select m.* from memories m where {_SHOWN} order by m.n desc limit :limit"
FIND = f"""
    select m.task_id from (
        select task_id, principal from memories union all select task_id, principal from memory_outbox
    ) m where m.task_id >= :low and m.task_id < :high and {_SHOWN} limit 6
"""
FORGET = ("delete from memories where task_id = :id", "delete from memory_outbox where task_id = :id")


def add(db: Connection, values: Values, remembered: Remembered) -> None:
    """Write what the task of `values` left: for a memory server, or here, and let go of the oldest if they are many."""
    said = {"asked": remembered.asked, "outcome": remembered.outcome}
    if remembered.owed:
        memory_outbox.add(db, {"id": values["id"], "now": values["now"], **said})
        return
    _keep(db, ADD, {"id": values["id"], "now": values["now"], **said}, remembered)


def forget(db: Connection, task_id: str) -> None:
    """Remove what a task left, wherever it is here."""
    for statement in FORGET:
        db.execute(statement, {"id": task_id})


def take_in(db: Connection, number: int) -> None:
    """Keep here what a memory server was owed."""
    if (owed := db.execute(memory_statements.TAKE, {"n": number}).fetchone()) is not None:
        _keep(db, TAKE_IN, dict(owed), Remembered(asked=owed["asked"], outcome=owed["outcome"]))


def _keep(db: Connection, statement: str, values: Values, remembered: Remembered) -> None:
    row = db.execute(statement, values).fetchone()
    db.execute(ADD_WORDS, {"n": row["n"], "words": " ".join(_words(f"{remembered.asked}\n{remembered.outcome}"))})
    db.execute(DROP_OLDEST, {"principal": row["principal"], "project": row["project"]})


def looked_for(text: str) -> str | None:
    """Return the words of a text as the index is asked for any of them; None: it has none that say anything."""
    return " OR ".join(f'"{word}"' for word in words_of(text)) or None


def words_of(text: str) -> Sequence[str]:
    """Return the different words of a text that say something, in their order; of Chinese its pairs of characters."""
    words = dict.fromkeys(word for word in _words(text[:READ]) if word not in _SAYS_NOTHING)
    return list(words)[:ASKED_WORDS]


def _words(text: str) -> Iterator[str]:
    for run in _RUN.findall(text.lower()):
        if re.match(rf"[{_CJK}]", run) and len(run) > 1:
            yield from (run[at : at + 2] for at in range(len(run) - 1))
        else:
            yield run
