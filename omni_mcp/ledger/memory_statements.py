"""The statements of what a memory server is owed."""

from omni_mcp.ledger.statements import SEEN

ADD = """
    insert into memory_outbox (task_id, principal, project, executor, at, asked, outcome, due_at)
    select t.id, t.principal, coalesce(p.cwd, ''), coalesce(t.served_by, ''), :now, :asked, :outcome, :now
    from tasks t join payloads p on p.task = t.n where t.id = :id
"""
TAKE = "delete from memory_outbox where n = :n returning *"
PUT_OFF = """
    update memory_outbox set tries = tries + 1, trouble = :trouble, due_at = coalesce(:due_at, due_at),
        given_up_at = case when :due_at is null then :now end
    where n = :n returning task_id
"""
NOTE_LOSS = """
    insert into events (task, seq, at, attempt, kind, text, data)
    select e.task, max(e.seq) + 1, :now, max(e.attempt), 'memory', :text, null
    from events e join tasks t on t.n = e.task where t.id = :id group by e.task
"""
DUE = "select * from memory_outbox where given_up_at is null order by due_at, n limit 1"
ALL = f"select m.* from memory_outbox m where {SEEN.format('m.')} order by m.n desc limit :limit"
OF = """
    select * from memory_outbox where given_up_at is null and principal = :principal and project = :project
    order by n desc limit :limit
"""
GIVEN_UP = """
    select count(*) as n, max(trouble) as trouble from memory_outbox where given_up_at is not null having count(*) > 0
"""
