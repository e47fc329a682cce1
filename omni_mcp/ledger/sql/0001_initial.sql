-- Times are microseconds since 1970, UTC. Triggers raise with ABORT only: a ROLLBACK would end the others' units too.
-- Side tables hang on `n`, the order of arrival: so they grow at their end, where random ids would touch a page each.

create table tasks (
    n integer primary key,
    id text not null unique,
    principal text not null,
    type text,
    state text not null check (state in
        ('idle', 'dispatching', 'executing', 'waiting', 'completed', 'failed', 'cancelled')),
    open integer not null default 1 check (open = (state not in ('completed', 'failed', 'cancelled'))),
    waiting_for text check ((waiting_for is not null) = (state = 'waiting')),
    due_at integer,
    text text,
    priority integer not null,
    since integer not null,
    created_at integer not null,
    updated_at integer not null,
    attempt integer not null default 0,
    faults integer not null default 0,
    owner text,
    lease_until integer,
    executor text,
    requested text,
    served_by text,
    model text,
    endpoint text,
    run_id text,
    reason text,
    progress text,
    progress_at integer,
    cancel_requested_at integer,
    consented integer not null default 0,
    title text not null
) strict;

create index open_tasks on tasks (state, priority desc, n, open) where open = 1;
create index due_tasks on tasks (due_at) where due_at is not null;
create index newest_tasks on tasks (principal, n);

create table payloads (
    task integer primary key references tasks (n) on delete cascade,
    description text not null,
    model text,
    cwd text,
    options text
) strict;

create table results (
    task integer primary key references tasks (n) on delete cascade,
    text text not null,
    structured text,
    notes text,
    error text
) strict;

create table checkpoints (
    task integer primary key references tasks (n) on delete cascade,
    snapshot text not null
) strict;

create table attempts (
    task integer not null references tasks (n) on delete cascade,
    number integer not null,
    owner text not null,
    executor text,
    model text,
    endpoint text,
    run_id text,
    began_at integer not null,
    bound_at integer,
    ended_at integer,
    end text,
    primary key (task, number)
) strict, without rowid;

create table events (
    task integer not null references tasks (n) on delete cascade,
    seq integer not null,
    at integer not null,
    attempt integer not null,
    kind text not null,
    text text not null,
    data text,
    primary key (task, seq)
) strict, without rowid;

create trigger history_begins after insert on tasks
begin
    insert into events (task, seq, at, attempt, kind, text)
    values (new.n, 1, new.updated_at, 0, 'state', '→ ' || new.state);
end;

create trigger history_goes_on after update of state, waiting_for on tasks
when old.state <> new.state or old.waiting_for is not new.waiting_for
begin
    insert into events (task, seq, at, attempt, kind, text)
    select new.n, max(seq) + 1, new.updated_at, new.attempt, 'state',
        old.state || ' → ' || new.state || coalesce(' (' || new.waiting_for || ')', '') || coalesce(': ' || new.text, '')
    from events where task = new.n;
end;

create trigger terminal_for_ever before update of state on tasks
when old.open = 0 and old.state <> new.state
begin
    select raise(abort, 'a terminal state never changes');
end;

create table idempotency (
    principal text not null,
    key text not null,
    fingerprint blob not null,
    task_id text not null,
    created_at integer not null,
    primary key (principal, key)
) strict, without rowid;

create table usage (
    id integer primary key,
    task integer not null references tasks (n) on delete cascade,
    attempt integer not null,
    model text not null,
    provider text,
    opened_at integer not null,
    closed_at integer,
    input_tokens integer,
    output_tokens integer,
    cost_usd real,
    price_source text
) strict;

create index usage_of_task on usage (task, cost_usd);

create table engines (
    owner text primary key,
    pid integer not null,
    version text not null,
    log text not null,
    address text not null,
    started_at integer not null,
    gone_at integer
) strict, without rowid;

create table executor_health (
    name text primary key,
    usable integer not null,
    detail text not null,
    seen_at integer not null
) strict, without rowid;
