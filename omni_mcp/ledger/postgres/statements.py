"""Statements that are PostgreSQL's own: of a session, of the gate and its rings, of the schema, of a move into it."""

CUT = 5
"""Seconds after which a connection that is cut, or a holder of the gate that is frozen, is let go by the other end."""
SESSION = f"""
    set lock_timeout = '{CUT}s';
    set statement_timeout = '{CUT * 2}s';
    set idle_in_transaction_session_timeout = '{CUT - 1}s';
    set tcp_keepalives_idle = 2;
    set tcp_keepalives_interval = 1;
    set tcp_keepalives_count = 3;
    set tcp_user_timeout = {CUT * 1000};
    set synchronous_commit = on;
    set default_transaction_isolation = 'read committed';
    set client_min_messages = warning;
    set enable_seqscan = off;
    set jit = off
"""
"""Of the server's end. Young tables have no statistics yet: it would rather read them whole than by an index."""
STANDING = """
    select current_setting('server_version_num')::integer / 10000 as release, current_schema() as schema,
        pg_is_in_recovery() or current_setting('transaction_read_only')::boolean as read_only
"""

GATE = "select pg_advisory_xact_lock(hashtext('omni-mcp ledger ' || current_schema()))"
WROTE = "select pg_current_xact_id_if_assigned()::text as id"
RING = "select pg_notify('omni-mcp ' || current_schema(), %s)"
STATUS = "select pg_xact_status(%s::xid8) as status"

LISTEN = "select format('listen %I', 'omni-mcp ' || current_schema()) as listen"
STANDS = "select pg_current_snapshot()::text as stands"
"""It changes with each write that begins or ends."""

ALONE = "select pg_advisory_xact_lock(hashtext('omni-mcp schema ' || current_schema()))"
THERE = "select to_regclass('schema_version') is not null as there"
VERSION = "select version from schema_version"
NEW_VERSION = "create table schema_version (version integer not null); insert into schema_version values (0)"

WITHOUT_LIMIT = "set statement_timeout = 0; set idle_in_transaction_session_timeout = 0"
PLACED = """
    update tasks set machine = case when p.cwd is not null then %(here)s end,
        ran_on = case when tasks.run_id is not null then %(here)s end
    from payloads p where p.task = tasks.n and tasks.open = 1
"""
"""What has a folder or a session is of this machine."""
ANY_TASK = "select 1 from tasks limit 1"
QUIET = "delete from modes; alter table tasks disable trigger user"
"""What is copied has its history already."""
LOUD = "alter table tasks enable trigger user"
COPY = "copy {} ({}) from stdin"
COUNT = "select count(*) as n from {}"
COUNT_ON = "select setval(pg_get_serial_sequence({}, {}), coalesce(max({}), 0) + 1, false) from {}"
NEW_WORDS = "insert into memory_words values (%s, to_tsvector('english', %s))"
