-- One row for the whole home: what the mode machine knows, who may probe, and what a person has set.
-- A change of mode and its notice are written in the transaction that makes it: so each is there exactly once.

create table modes (
    id integer primary key check (id = 1),
    mode text not null check (mode in ('normal', 'degraded', 'brainstem')),
    state text,
    prober text,
    lease_until integer,
    forced_mode text check (forced_mode in ('normal', 'degraded', 'brainstem')),
    forced_at integer,
    forced_until integer
) strict;

insert into modes (id, mode) values (1, 'normal');

create table mode_changes (
    n integer primary key,
    at integer not null,
    was text not null,
    mode text not null,
    cause text not null
) strict;

create table notices (
    n integer primary key,
    at integer not null,
    kind text not null,
    text text not null,
    told_at integer
) strict;

create index untold_notices on notices (n) where told_at is null;
create index cloud_tasks on tasks (n) where waiting_for = 'cloud';
