"""The statements of the SQLite ledger: each move is one guarded write, and a trigger writes its history."""

from omni_mcp.task import LOCAL

_SPENT = """
    (select sum(cost_usd) from usage where task = t.n) as cost_usd,
    (select count(*) from usage where task = t.n and cost_usd is null) as cost_unknown_calls
"""
_WHOLE = f"""
    select t.*, p.description, p.model as asked_model, p.cwd, p.options, p.ancestors, p.retry_of, p.trace,
        c.snapshot, {_SPENT}
    from tasks t join payloads p on p.task = t.n left join checkpoints c on c.task = t.n
"""
_N = "(select n from tasks where id = :id)"

TASK = _WHOLE + " where t.id = :id"
TASK_BY_N = _WHOLE + " where t.n = :n"
SEEN = """
    (:principal is null or +{0}principal = :principal
        or (:principal = 'local' and (+{0}principal glob 'hook:*' or +{0}principal glob 'schedule:*')))
"""
"""Whose tasks a principal is shown: its own; the person here those of their own webhooks and schedules; null: all.

The plus keeps SQLite from walking through all tasks of the principal instead.
"""
_FOUND = "id >= :low and {0}id < :high and {1} limit 6"
FIND = f"select id from tasks where {_FOUND.format('', SEEN.format(''))}"
FIND_WHOLE = f"{_WHOLE} where t.{_FOUND.format('t.', SEEN.format('t.'))}"
_CLAIMABLE = (
    """
    with recursive principals (name) as (
        select min(principal) from tasks where state = 'idle'
        union all
        select (select min(principal) from tasks where state = 'idle' and principal > name) from principals
        where name is not null
    ),
    first as (
        select t.n, row_number() over (partition by t.principal, t.priority order by t.n) as place
        from principals {joined}
    )
    """
    + _WHOLE
    + """
    join first on first.n = t.n left join turns u on u.principal = t.principal
    order by t.priority desc, first.place, coalesce(u.turn, 0), t.n limit :limit
    """
)
_OF_ONE = """
    select n, principal, priority from tasks
    where state = 'idle' and principal = name
        and (queued_for is null or queued_for not in (select value from json_each(:full)))
    order by priority desc, n limit :limit
"""
CLAIMABLE = _CLAIMABLE.format(joined=f"join tasks t on t.n in (select n from ({_OF_ONE}))")
CLAIMABLE_LATERAL = _CLAIMABLE.format(joined=f"cross join lateral ({_OF_ONE}) t")
"""By priority; within one the principals take turns, who was served last comes last; of one principal the oldest.

The second is for who walks through all tasks for each principal at the first, and has a word for it.
"""
QUEUE = """
    update tasks set queued_for = :executor
    where state = 'idle' and id in (select value from json_each(:ids)) and coalesce(queued_for, '') <> :executor
"""
FORGET_QUEUES = "update tasks set queued_for = null where state = 'idle' and queued_for is not null"
TAKE_TURN = """
    insert into turns select principal, (select coalesce(max(turn), 0) + 1 from turns) from tasks where n = :n
    on conflict (principal) do update set turn = excluded.turn
"""
_HELD = """
    n in (
        select n from tasks where open = 1 and state in ('dispatching', 'executing')
        union all select n from tasks where waiting_for = 'input' and owner is not null
    )
"""
"""At work, or asking somebody in the middle of it."""
HELD = f"{_WHOLE} where t.{_HELD.strip()}"
PAGE = f"""
    select t.*, t.title as description, null as asked_model, null as cwd, null as options, null as ancestors,
        null as retry_of, null as trace, null as snapshot, {_SPENT}
    from tasks t
    where {{seen}} and t.n < :before {{states}}
    order by t.n desc limit :limit
"""
OF_STATE = """
    select * from (
        select t.n from tasks t where t.state = :{name} and t.open = {open} and {seen} and t.n < :before
        order by t.n desc limit :limit
    ) newest
"""
BOTH = " union all "
"""The newest of one state; of several states each is read by itself, in the order of its index."""
WAITS = "select waiting_for, count(*) as n from tasks where open = 1 and state = 'waiting'{of} group by waiting_for"
WAITING_IDS = f"""
    select waiting_for, id from (
        select waiting_for, id, priority, n,
            row_number() over (partition by waiting_for order by priority desc, n) as place
        from tasks where open = 1 and state = 'waiting' and {SEEN.format("")}
    ) placed where place <= :limit order by priority desc, n
"""
COUNTS = "select state, count(*) as n from tasks where open = 1{of} group by state"
RESULT_PAGE = f"""
    select substr(whole, :offset + 1, :limit) as text, length(whole) as total_chars, error,
        length(structured) as structured_chars, length(notes) as notes_chars,
        case when length(structured) <= :inline then structured end as structured,
        case when length(notes) <= :inline then notes end as notes
    from (
        select *, case :part when 'structured' then structured when 'notes' then notes else text end as whole
        from results where task = {_N}
    ) part
"""
_LAST = f"(select max(seq) from events where task = {_N})"
EVENTS = f"""
    select * from events where task = {_N} and seq > case when :since < 0 then {_LAST} + :since else :since end
    order by seq limit :limit
"""
_OF_ATTEMPT = "from usage u where u.task = a.task and u.attempt = a.number"
ATTEMPTS_OF = f"""
    select a.*, (select sum(u.cost_usd) {_OF_ATTEMPT}) as cost_usd,
        (select count(*) - count(u.cost_usd) {_OF_ATTEMPT}) as cost_unknown_calls,
        (select u.route {_OF_ATTEMPT} and u.route is not null order by u.id desc limit 1) as route
    from attempts a where a.task = {_N} order by a.number desc limit :limit
"""
ENGINE = "select * from engines"
"""At the most one: whoever announces itself takes the place of the one before."""

HEALTH = "select * from executor_health"

KNOWN_KEY = "select task_id, fingerprint, purged from idempotency where principal = :principal and key = :key"
NEW_KEY = """
    insert into idempotency (principal, key, fingerprint, task_id, created_at)
    values (:principal, :key, :fingerprint, :id, :now)
"""
NEW_TASK = """
    insert into tasks (id, principal, type, state, waiting_for, text, priority, since, created_at, updated_at, executor,
        requested, reason, title, deadline, budget_usd)
    values (:id, :principal, :type, :state, :waiting_for, :text, :priority, :now, :now, :now, :executor,
        :requested, :reason, :title, :deadline, :budget_usd)
    returning n
"""
NEW_PAYLOAD = """
    insert into payloads (task, description, model, cwd, options, ancestors, retry_of, trace)
    values (:n, :description, :model, :cwd, :options, :ancestors, :retry_of, :trace)
"""
NEW_NEED = "insert into dependencies values (:n, :needs)"
NEEDS = f"""
    select d.needs, coalesce(t.state, 'completed') as state
    from dependencies d left join tasks t on t.id = d.needs where d.task = {_N} order by d.needs
"""
"""Who is needed and not there any more had completed, or it would have failed this one."""

_UNMET = """
    exists (
        select 1 from dependencies d join tasks x on x.id = d.needs where d.task = tasks.n and x.state <> 'completed'
    )
"""
_DEPENDANTS = "state = 'waiting' and n in (select task from dependencies where needs = :needs)"
FREE_DEPENDANTS = f"""
    update tasks set state = 'idle', since = :now, updated_at = :now, waiting_for = null, text = null
    where {_DEPENDANTS} and waiting_for = 'dependency' and not {_UNMET}
"""
FAIL_DEPENDANTS = f"""
    update tasks set state = 'failed', open = 0, since = :now, updated_at = :now, waiting_for = null, due_at = null,
        text = :text
    where {_DEPENDANTS}
    returning n, id
"""
AWAIT_NEEDS = f"""
    update tasks set state = 'waiting', since = :now, updated_at = :now, waiting_for = 'dependency',
        text = 'still has to run after other tasks'
    where n = :n and state = 'idle' and {_UNMET}
"""

_MINE = " where id = :id and attempt = :attempt and owner = :owner"
"""Who has an owner is dispatching, executing, or waiting for an answer in the middle of its run."""
_MOVED = " returning n, attempt, cancel_requested_at"
"""What belongs to the move is written with the first two; the third somebody else may have written meanwhile."""

BEGIN = (
    """
    update tasks set state = 'dispatching', since = :now, updated_at = :now, attempt = attempt + 1, owner = :owner,
        lease_until = :until, text = null, consented = false, progress = null, progress_at = null
    where id = :id and state = 'idle' and attempt = coalesce(:known, attempt)
    """
    + _MOVED
    + ", faults, budget_usd, lease_until"
)
NEW_ATTEMPT = "insert into attempts (task, number, owner, began_at) values (:n, :attempt, :owner, :now)"
BIND = (
    """
    update tasks set state = 'executing', since = :now, updated_at = :now, requested = :requested,
        served_by = :executor, model = :model, endpoint = :endpoint, run_id = :run_id, reason = :reason
    """
    + _MINE
    + " and state = 'dispatching'"
    + _MOVED
)
BIND_ATTEMPT = """
    update attempts set executor = :executor, model = :model, endpoint = :endpoint, run_id = :run_id, bound_at = :now
    where task = :n and number = :attempt
"""
PROGRESS = (
    "update tasks set updated_at = :now, progress = coalesce(:progress, progress), progress_at = :now"
    + _MINE
    + " and state in ('executing', 'waiting')"
)
CHECKPOINT = f"""
    insert into checkpoints values ({_N}, :snapshot) on conflict (task) do update set snapshot = excluded.snapshot
"""
FINISH = (
    """
    update tasks set state = :state, open = 0, since = :now, updated_at = :now, owner = null, lease_until = null,
        waiting_for = null, text = :text
    """
    + _MINE
    + " and (state in ('executing', 'waiting') or (state = 'dispatching' and :state <> 'completed'))"
    + _MOVED
    + ", exists (select 1 from dependencies where needs = tasks.id) as needed"
)
NEW_RESULT = "insert into results values (:n, :result, :structured, :notes, :error)"
PARK = (
    """
    update tasks set state = 'waiting', since = :now, updated_at = :now, owner = null, lease_until = null,
        waiting_for = :waiting_for, text = :text, due_at = :due_at, faults = faults + :fault,
        run_id = case when :over then null else run_id end
    """
    + _MINE
    + " and state in ('dispatching', 'executing', 'waiting')"
    + _MOVED
)
RELEASE = (
    """
    update tasks set state = 'idle', since = :now, updated_at = :now, owner = null, lease_until = null, text = :text,
        waiting_for = null, run_id = case when :over then null else run_id end
    """
    + _MINE
    + " and state in ('dispatching', 'executing', 'waiting')"
    + _MOVED
)
END_ATTEMPT = 'update attempts set ended_at = :now, "end" = :end where task = :n and number = :attempt'
HOLD = (
    """
    update tasks set state = 'waiting', since = :now, updated_at = :now, waiting_for = :waiting_for, text = :text,
        due_at = :due_at
    where id = :id and state = 'idle'
    """
    + _MOVED
)
_MAY_LIVE = "(run_id is not null and served_by in (select value from json_each(:living)))"
OVERDUE = f"""
    select n, id, state, waiting_for, text, deadline, {_MAY_LIVE} as lives from tasks
    where deadline <= :now and open = 1 and +state in ('idle', 'waiting') and owner is null
        and not (state = 'idle' and queued_for is null and {_MAY_LIVE})
"""
"""A task whose run may live elsewhere is over when that was told to stop; till then it is free for who does that."""
FREE_OVERDUE = """
    update tasks set state = 'idle', since = :now, updated_at = :now, waiting_for = null, due_at = null,
        queued_for = null
    where n = :n and state in ('idle', 'waiting') and owner is null
"""
ATTEMPTS = 'select number, executor, "end" from attempts where task = :n order by number'
EXPIRE = """
    update tasks set state = 'failed', open = 0, since = :now, updated_at = :now, waiting_for = null, due_at = null,
        text = :text
    where n = :n and state in ('idle', 'waiting') and owner is null
    returning id
"""
_DUE = """
    where state = 'waiting' and (:cloud or waiting_for <> 'cloud')
        and (due_at <= :now or (due_at > :now and since > :now and waiting_for <> 'reset'))
"""
"""What began to wait in the future was put to sleep before the clock was set back: its span means nothing any more."""
WAKE_DUE = "update tasks set state = 'idle', since = :now, updated_at = :now, waiting_for = null, due_at = null" + _DUE
ANY_DUE = "select 1 from tasks" + _DUE + " limit 1"
WAKE_HELD = """
    update tasks set state = 'idle', since = :now, updated_at = :now, waiting_for = null, due_at = null
    where n in (select n from tasks where waiting_for = 'cloud' order by priority desc, n limit :limit)
"""
_FOR_EXECUTOR = """
    where open = 1 and state = 'waiting' and (
        (waiting_for = 'executor' and (:everyone or due_at is not null))
        or (waiting_for = 'budget' and :everyone and due_at is not null)
    )
"""
"""What waits for a new day may go on under other settings."""
WAKE_FOR_EXECUTOR = (
    "update tasks set state = 'idle', since = :now, updated_at = :now, waiting_for = null, due_at = null"
    + _FOR_EXECUTOR
)
ANY_FOR_EXECUTOR = "select 1 from tasks" + _FOR_EXECUTOR + " limit 1"
ANY_HELD = "select 1 from tasks where waiting_for = 'cloud' limit 1"
RENEW = f"update tasks set lease_until = :until where owner = :owner and {_HELD} returning id"
CANCEL_FREE = (
    """
    update tasks set state = 'cancelled', open = 0, since = :now, updated_at = :now, cancel_requested_at = :now,
        text = :text, waiting_for = null, due_at = null
    where id = :id and state in ('idle', 'waiting') and owner is null
    """
    + _MOVED
)
CANCEL_LIVING = (
    """
    update tasks set state = 'idle', since = :now, updated_at = :now, cancel_requested_at = :now, text = :text,
        waiting_for = null, due_at = null, queued_for = null
    where id = :id and state in ('idle', 'waiting') and owner is null and run_id is not null
    """
    + _MOVED
)
CANCEL_HELD = """
    update tasks set cancel_requested_at = :now, updated_at = :now
    where id = :id and owner is not null and cancel_requested_at is null
    returning attempt
"""
RESUME = (
    """
    update tasks set state = 'idle', since = :now, updated_at = :now, due_at = null, text = null,
        consented = (waiting_for = 'consent'), waiting_for = null
    where id = :id and state = 'waiting' and (waiting_for <> 'consent' or :consent)
        and waiting_for not in ('dependency', 'input')
    """
    + _MOVED
)
RAISE_BUDGET = "update tasks set budget_usd = budget_usd + :add where n = :n"
NOTE = f"""
    insert into events (task, seq, at, attempt, kind, text, data)
    select task, max(seq) + 1, :now, :attempt, :kind, :text, :data from events where task = {_N} group by task
"""
ANNOUNCE = """
    insert into engines (owner, pid, version, log, address, started_at, settings)
    values (:owner, :pid, :version, :log, :address, :now, :settings)
"""
BURY = """
    update owners set buried = true where owner = :owner and (home = :home or beat_until + :grace <= server_now())
"""
IS_BURIED = "select not exists (select 1 from owners where owner = :owner and not buried) as buried"
"""Only where engines of several machines work on one ledger: one that is buried holds nothing any more."""
DISMISS = "update engines set dismissed_at = coalesce(dismissed_at, :now) where owner = :owner and gone_at is null"
FORGET_ENGINES = "delete from engines where owner <> :owner"
FORGET_HEALTH = "delete from executor_health"
FORGET_TROUBLES = "delete from executor_health where not usable"
RETIRE = """
    update engines set gone_at = coalesce(gone_at, :now)
    where owner = :owner and (not :only_if_idle or not (
        exists (select 1 from tasks where open = 1)
        or exists (select 1 from deliveries where told_at is null and given_up_at is null)
        or exists (select 1 from memory_outbox where given_up_at is null)
        or exists (
            select 1 from json_each(:scheduled)
            where value not in (select name from schedules where paused_at is not null)
        )
    ))
"""
REPORT_HEALTH = """
    insert into executor_health values (:name, :usable, :detail, :now)
    on conflict (name) do update set usable = excluded.usable, detail = excluded.detail, seen_at = excluded.seen_at
"""
MODE = "select * from modes"
LEAD = """
    update modes set prober = :owner, lease_until = :until
    where prober is null or prober in (:owner, :dead) or lease_until < :now
    returning 1
"""
SAVE_MODE = "update modes set state = :state where prober = :owner returning mode"
CHANGE_MODE = "update modes set mode = :mode"
NEW_CHANGE = "insert into mode_changes (at, was, mode, cause) values (:now, :was, :mode, :cause)"
NEW_NOTICE = """
    insert into notices (at, kind, text, data, told_at) values (:now, :kind, :text, :data, :told_at) returning n
"""
_OWED = "told_at is null and given_up_at is null"
HURRY = f"update deliveries set due_at = :now where channel = :channel and {_OWED}"
NEW_DELIVERY = "insert into deliveries (notice, channel, id, due_at) values (:notice, :channel, :id, :now)"
TOLD_LATELY = "select 1 from notices where kind = :kind and at > :since"
CHANGES = "select * from mode_changes order by n desc limit :limit"
FORCE_MODE = "update modes set forced_mode = :mode, forced_at = :at, forced_until = :until"
UNTOLD = "select * from notices where told_at is null order by n"
TOLD = "update notices set told_at = :now where n = :n and told_at is null"
_DELIVERIES = """
    select d.*, notices.at, notices.kind, notices.text, notices.data
    from deliveries d join notices on notices.n = d.notice
"""
OWED = f"{_DELIVERIES} where d.n = (select min(n) from deliveries where channel = :channel and {_OWED})"
LAST_DELIVERIES = f"""
    {_DELIVERIES} where d.n in (
        select coalesce(min(case when {_OWED} then n end), max(n)) from deliveries group by channel
    ) order by d.channel
"""
LATE = """
    select d.channel, count(*) as n, max(d.trouble) as trouble from deliveries d
    where d.trouble is not null and d.told_at is null
        and d.n > coalesce((select max(n) from deliveries where channel = d.channel and told_at is not null), 0)
    group by d.channel
"""
"""What a channel has not taken since the last notice that it took."""
DELIVERED = f"update deliveries set told_at = :now, tries = tries + 1, trouble = null where n = :n and {_OWED}"
PUT_OFF = f"""
    update deliveries set tries = tries + 1, trouble = :trouble, due_at = coalesce(:due_at, due_at),
        given_up_at = case when :due_at is null then :now end
    where n = :n and {_OWED}
"""
DISOWN = f"""
    update deliveries set given_up_at = :now, trouble = :trouble
    where {_OWED} and channel not in (select value from json_each(:channels))
"""
GIVEN_UP = """
    select channel, count(*) as n, max(given_up_at) as at, max(trouble) as trouble from deliveries
    where given_up_at is not null group by channel order by channel
"""
SEND_AGAIN = """
    update deliveries set given_up_at = null, due_at = :now
    where given_up_at is not null and channel in (select value from json_each(:channels))
"""
ANY_OWED = f"""
    select exists (select 1 from deliveries where {_OWED})
        or exists (select 1 from memory_outbox where given_up_at is null) as owed
"""

_OLD = "select n from tasks where open = 0 and since < :before"
PURGEABLE = f"select count(*) as n from ({_OLD}) old"
MARK_PURGED = f"""
    update idempotency set purged = (select state from tasks where id = task_id)
    where task_id in (select id from tasks where n in ({_OLD} order by n limit :limit))
"""
PURGE = f"delete from tasks where n in ({_OLD} order by n limit :limit)"

END_OPEN_ATTEMPTS = """update attempts set ended_at = :now, "end" = 'unknown (restored)' where ended_at is null"""
ASK_ALL = """
    update tasks set state = 'waiting', since = :now, updated_at = :now, waiting_for = 'consent', due_at = null,
        owner = null, lease_until = null, consented = false, text = :text
    where open = 1
"""


def page_of(principal: str | None) -> str:
    """Return whose tasks PAGE shows; for the person here it reads through the newest of all: few are of others."""
    return "t.principal = :principal" if principal not in (None, LOCAL) else SEEN.format("t.")


def of_whom(counting: str, principal: str | None) -> tuple[str, dict[str, str | None]]:
    """Return a statement that counts the open tasks of all (a covering index answers it), or of one principal."""
    of = "" if principal is None else f" and {SEEN.format('')}"
    return counting.format(of=of), {"principal": principal}
