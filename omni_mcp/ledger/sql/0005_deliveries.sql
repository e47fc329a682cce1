-- The outbox: one row for each notice and channel, written with the notice. So it goes out at least once, whoever dies,
-- and with one id however often it is tried. A channel's name holds no secret.

alter table notices add column data text;

create table deliveries (
    n integer primary key,
    notice integer not null references notices (n) on delete cascade,
    channel text not null,
    id text not null unique,
    tries integer not null default 0,
    due_at integer not null,
    told_at integer,
    given_up_at integer,
    trouble text,
    unique (notice, channel)
) strict;

create index owed_deliveries on deliveries (channel, n) where told_at is null and given_up_at is null;
