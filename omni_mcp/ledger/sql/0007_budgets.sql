-- What was spent stays on the books when its task is purged: by day, executor, model and who asked.
-- `asked` is the model that the attempt asked for, `model` the one that served; `run_id` is that of a run which lives on
-- elsewhere, so that who attaches to it finds its row again.

alter table tasks add column budget_usd real;

create table new_usage (
    id integer primary key,
    task integer references tasks (n) on delete set null,
    attempt integer not null,
    principal text not null,
    executor text,
    endpoint text,
    run_id text,
    asked text not null,
    model text not null,
    provider text,
    opened_at integer not null,
    closed_at integer,
    input_tokens integer,
    output_tokens integer,
    cost_usd real,
    price_source text
) strict;

insert into new_usage (id, task, attempt, principal, executor, endpoint, asked, model, provider, opened_at, closed_at,
    input_tokens, output_tokens, cost_usd, price_source)
select u.id, u.task, u.attempt, t.principal, a.executor, a.endpoint, u.model, u.model, u.provider, u.opened_at,
    u.closed_at, u.input_tokens, u.output_tokens, u.cost_usd, u.price_source
from usage u join tasks t on t.n = u.task left join attempts a on a.task = u.task and a.number = u.attempt;

drop table usage;
alter table new_usage rename to usage;

create index usage_of_task on usage (task, cost_usd);
create index usage_of_day on usage (opened_at, executor, asked, cost_usd);
