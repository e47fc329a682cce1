"""The statements of questions: a task that asks is waiting, and still held by its attempt while that lives."""

_N = "(select n from tasks where id = :id)"
_MINE = "id = :id and attempt = :attempt and owner = :owner"
_OPEN = "answered_at is null and gone_at is null"

ASK = f"""
    update tasks set state = 'waiting', waiting_for = 'input', updated_at = :now, text = :text,
        since = case state when 'waiting' then since else :now end
    where {_MINE} and state in ('executing', 'waiting')
    returning n, attempt
"""
NEW_QUESTION = """
    insert into questions (task, number, attempt, kind, text, schema, same, for_people, asked_at)
    select :n, coalesce(max(number), 0) + 1, :attempt, :kind, :question, :schema, :same, :for_people, :now
    from questions where task = :n
    returning *
"""
TAKE_SAME = f"""
    update questions set taken_at = :now
    where task = {_N} and answered_at is not null and taken_at is null and number = (
        select min(number) from questions
        where task = {_N} and same = :same and answered_at is not null and taken_at is null
    ) and exists (select 1 from tasks where {_MINE} and state in ('executing', 'waiting'))
    returning *
"""
"""An answer that came after its run had ended serves the run that asks the same again, once."""
TAKE = f"""
    update questions set taken_at = :now
    where task = {_N} and number = :number and answered_at is not null and taken_at is null
        and exists (select 1 from tasks where {_MINE})
"""
ANSWER = f"""
    update questions set action = :action, content = :content, answered_at = :now, answered_by = :answered_by
    where task = {_N} and number = :number and {_OPEN}
    returning attempt
"""
TAKE_BACK = f"""
    update questions set gone_at = :now
    where task = {_N} and number = :number and {_OPEN} and exists (select 1 from tasks where {_MINE})
"""
GO_ON = f"""
    update tasks set state = case when owner is null then 'idle' else 'executing' end, waiting_for = null, since = :now,
        updated_at = :now, text = null
    where id = :id and state = 'waiting' and waiting_for = 'input'
        and not exists (select 1 from questions where task = tasks.n and {_OPEN})
"""
"""Its last question is settled: a run that lives goes on, a task whose run has ended is free."""
SET_ASIDE = f"""
    update tasks set owner = null, lease_until = null, updated_at = :now
    where {_MINE} and state = 'waiting'
    returning n, attempt, cancel_requested_at
"""
"""The run of a task that asks is over; the question stays."""
QUESTIONS = f"select * from questions where task = {_N} order by number"
