"""The statements about schedules: each is one guarded write."""

SCHEDULES = """
    select s.*, t.state as task_state, coalesce(t.open, 0) as running
    from schedules s left join tasks t on t.id = s.task_id order by s.name
"""
SCHEDULE = "select * from schedules where name = :name"
PLAN = """
    insert into schedules (name, plan, seen_until) values (:name, :plan, :now)
    on conflict (name) do update set plan = :plan, seen_until = :now, queued = '[]' where schedules.plan <> :plan
"""
UNPLAN = "update schedules set plan = '', queued = '[]' where name in (select value from json_each(:names))"
PAUSE = "update schedules set paused_at = coalesce(paused_at, :now) where name = :name"
UNPAUSE = """
    update schedules set paused_at = null, queued = '[]',
        seen_until = case when seen_until > :now then seen_until else :now end
    where name = :name and paused_at is not null
"""
_FREE = "not exists (select 1 from tasks where id = schedules.task_id and open = 1)"
ADVANCE = f"""
    update schedules set seen_until = :seen_until, queued = :queued, said = coalesce(:said, said),
        said_at = case when :said is null then said_at else :now end
    where name = :name and plan = :plan and seen_until = :was_seen and queued = :was_queued and paused_at is null
        and (:id is null or {_FREE})
    returning 1
"""
RUNS = "update schedules set task_id = :id, due_at = :due_at where name = :name"
RUNS_BY_HAND = f"update schedules set task_id = :id, due_at = null where name = :name and {_FREE} returning 1"
BEGIN_ANEW = "update schedules set seen_until = :now, queued = '[]', said = :said, said_at = :now"
