-- What completed tasks left, for the tasks after them. A row is written in the transaction that completes its task; it
-- outlives the task when that is purged. `memory_words` has its words as `ledger/memories.py` takes them apart, which
-- makes pairs of Chinese characters findable.

create table memories (
    n integer primary key,
    task_id text not null unique,
    principal text not null,
    project text not null, -- the task's `cwd`; '': none
    executor text not null,
    at integer not null,
    asked text not null,
    outcome text not null
) strict;

create index memories_of on memories (principal, project, n);

create virtual table memory_words using fts5 (words, tokenize = 'porter unicode61');

create trigger forgotten after delete on memories
begin
    delete from memory_words where rowid = old.n;
end;
