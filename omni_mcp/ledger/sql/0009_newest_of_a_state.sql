-- The newest tasks of one state without a walk through all the others: what a list filters by. It is over an expression
-- so that only the statement which means it is served by it; a plain one would draw the engine's statements to itself.
create index tasks_of_state on tasks (state || '', n);
