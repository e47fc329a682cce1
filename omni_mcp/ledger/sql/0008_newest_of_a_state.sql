-- The newest tasks of one state without a walk through all the others: what a list filters by.
create index tasks_of_state on tasks (state, n);
