-- Deadlines, dependencies, ancestors, turns of principals, keys that outlive their task, engines that are asked to go.

alter table tasks add column deadline integer;
alter table tasks add column queued_for text; -- the full executor that an idle task was found to wait its turn at
alter table payloads add column ancestors text;
alter table payloads add column retry_of text;
alter table idempotency add column purged text; -- the end of the task, once it was removed
alter table engines add column dismissed_at integer;

create index deadlines on tasks (deadline) where deadline is not null and open = 1;
create index idle_tasks on tasks (principal, priority desc, n, queued_for, state) where state = 'idle';

create table dependencies (
    task integer not null references tasks (n) on delete cascade,
    needs text not null,
    primary key (task, needs)
) strict, without rowid;

create index dependants on dependencies (needs);

create table turns (
    principal text primary key,
    turn integer not null
) strict, without rowid;

drop trigger history_begins;

create trigger history_begins after insert on tasks
begin
    insert into events (task, seq, at, attempt, kind, text)
    values (new.n, 1, new.updated_at, 0, 'state',
        '→ ' || new.state || coalesce(' (' || new.waiting_for || ')', '') || coalesce(': ' || new.text, ''));
end;
