"""What asking and answering write, each in one transaction."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from omni_mcp.errors import QuestionGone
from omni_mcp.ledger import question_statements as sql
from omni_mcp.ledger import statements
from omni_mcp.ledger.notices import write_notice
from omni_mcp.ledger.rows import from_json, maybe_moment, moment, to_json
from omni_mcp.ledger.store import Connection, Row, Values
from omni_mcp.question import Action, Answer, Asked, Question, QuestionKind

PREFIX = "q"
LONGEST = 20_000
"""Characters of a question that are kept; what is cut off is counted."""


def number_of(question_id: str) -> int:
    """Return the number in an id; 0, which no question has, for what is no id."""
    digits = question_id.removeprefix(PREFIX)
    return int(digits) if digits.isdecimal() and len(digits) < 10 else 0


def fingerprint(asked: Asked) -> str:
    """Return what two questions have in common that mean the same."""
    said = to_json([asked.kind, asked.text, asked.schema])
    return hashlib.sha256(said.encode(errors="surrogatepass")).hexdigest()


def kept(text: str) -> str:
    """Return the text of a question as people will see it."""
    left = len(text) - LONGEST
    return f"{text[:LONGEST]}\n… ({left} more characters)" if left > 0 else text


def ask(db: Connection, values: Values, channels: Sequence[str]) -> Row | None:
    """Write a question down and have its task wait, or return the same one that was answered meanwhile.

    None: the attempt does not hold the task.
    """
    if (known := db.execute(sql.TAKE_SAME, values).fetchone()) is not None:
        return known
    moved = db.execute(sql.ASK, values).fetchone()
    if moved is None:
        return None
    if channels:
        data = to_json({"task_id": values["id"], "kind": values["kind"]})
        notice = {"kind": "question", "text": values["notice"], "data": data, "told_at": values["now"]}
        write_notice(db, {**values, **notice}, channels)
    return db.execute(sql.NEW_QUESTION, {**values, "n": moved["n"]}).fetchone()


def answer(db: Connection, values: Values) -> None:
    """Write an answer down and have its task go on. Raises QuestionGone: answered, taken back, or never asked."""
    answered = db.execute(sql.ANSWER, values).fetchone()
    if answered is None:
        raise QuestionGone(values["id"], values["question_id"])
    note = {"kind": "note", "text": f"{values['question_id']}: {values['action']}, said a {values['answered_by']}"}
    db.execute(statements.NOTE, {**values, **note, "data": None, "attempt": answered["attempt"]})
    db.execute(sql.GO_ON, values)


def take_back(db: Connection, values: Values) -> None:
    """Note that nobody has to answer any more; the run goes on."""
    if db.execute(sql.TAKE_BACK, values).rowcount:
        db.execute(sql.GO_ON, values)


def take(db: Connection, values: Values) -> bool:
    """Note that a run has the answer. False: it has none, or has it already."""
    return db.execute(sql.TAKE, values).rowcount == 1


def a_question(row: Row) -> Question:
    """Return the question of a row."""
    schema: Mapping[str, Any] = from_json(row["schema"])
    return Question(
        id=f"{PREFIX}{row['number']}",
        asked=Asked(kind=QuestionKind(row["kind"]), text=row["text"], schema=schema),
        for_people=bool(row["for_people"]),
        asked_at=moment(row["asked_at"]),
        answer=_answer(row),
        taken=row["taken_at"] is not None,
        gone_at=maybe_moment(row["gone_at"]),
    )


def _answer(row: Row) -> Answer | None:
    return None if row["action"] is None else Answer(action=Action(row["action"]), content=from_json(row["content"]))
