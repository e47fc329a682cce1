-- Every move changes the state, and with it each index that has the state in it. So what is open is in one, and what is
-- over in another, which it enters once, with its end. Nobody reads the open ones by priority from here: those to begin
-- are in `idle_tasks`.
drop index open_tasks;
drop index tasks_of_state;
create index open_tasks on tasks (state, n, open) where open = 1;
create index over_tasks on tasks (state, n, open, since) where open = 0;
