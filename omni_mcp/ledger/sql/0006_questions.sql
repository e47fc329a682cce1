-- What executors ask in the middle of a task. A task waits for input while and only while one of its questions is open;
-- whatever else it moves to takes them back. An answer that no run has taken is kept for a run that asks the same.

create table questions (
    task integer not null references tasks (n) on delete cascade,
    number integer not null,
    attempt integer not null,
    kind text not null check (kind in ('permission', 'input')),
    text text not null,
    schema text not null,
    same text not null, -- equal for two questions that mean the same
    for_people integer not null,
    asked_at integer not null,
    action text check (action in ('accept', 'decline', 'cancel')),
    content text,
    answered_at integer,
    answered_by text,
    taken_at integer,
    gone_at integer,
    primary key (task, number)
) strict, without rowid;

create index asking_tasks on tasks (n) where waiting_for = 'input';

create trigger questions_are_taken_back after update of waiting_for on tasks
when old.waiting_for = 'input' and new.waiting_for is not 'input'
begin
    update questions set gone_at = new.updated_at
    where task = new.n and answered_at is null and gone_at is null;
end;
