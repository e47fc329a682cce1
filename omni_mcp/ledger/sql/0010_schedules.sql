-- How far each schedule of servers.yaml is decided. The row moves in the transaction that writes the task of a due time:
-- so there is one task for each, whoever dies and however many engines look.

create table schedules (
    name text primary key,
    plan text not null, -- cron line and zone that `seen_until` belongs to; '': switched off
    seen_until integer not null,
    queued text not null default '[]', -- due times whose run waits for the one before, as JSON
    paused_at integer,
    task_id text, -- the newest run
    due_at integer, -- when that was due; null: by hand
    said text,
    said_at integer
) strict, without rowid;
