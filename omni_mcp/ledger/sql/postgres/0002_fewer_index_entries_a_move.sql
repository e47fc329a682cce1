-- As in version 14 of the SQLite file.
drop index open_tasks;
drop index tasks_of_state;
create index open_tasks on tasks (state, n) where open = 1;
create index over_tasks on tasks (state, n, since) where open = 0;
