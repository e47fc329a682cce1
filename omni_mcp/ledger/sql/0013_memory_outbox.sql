-- What completed tasks left and a memory server has not taken yet: written in the transaction that completes the task,
-- removed when the server has it. What it never took stays, with the reason, until it is forgotten.

create table memory_outbox (
    n integer primary key,
    task_id text not null unique,
    principal text not null,
    project text not null, -- the task's `cwd`; '': none
    executor text not null,
    at integer not null,
    asked text not null,
    outcome text not null,
    due_at integer not null,
    tries integer not null default 0,
    trouble text,
    given_up_at integer
) strict;
