-- Faces compare it with their own: one of another file would be told of executors that the engine does not have.
alter table engines add column settings text not null default '';
