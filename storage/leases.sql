-- watch_the_line() -> nothing
-- Ask after a silent client soon and often: 5 s + 3 × 2 s instead of two hours.
SELECT set_config('tcp_keepalives_idle', '5', false)
     , set_config('tcp_keepalives_interval', '2', false)
     , set_config('tcp_keepalives_count', '3', false)
     , set_config('tcp_user_timeout', '10000', false);

-- try_take(lease) -> whether it is ours now
SELECT pg_try_advisory_lock($1::bigint);

-- backend() -> the server's own process behind this connection
SELECT pg_backend_pid();

-- is_held(lease, backend) -> whether that backend holds it now
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted AND pid = $2::integer
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = 0 AND objid = $1::bigint::oid AND objsubid = 1
);

-- is_taken(lease) -> whether anybody holds it now
SELECT EXISTS (
    SELECT FROM pg_locks
    WHERE locktype = 'advisory' AND granted
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND classid = 0 AND objid = $1::bigint::oid AND objsubid = 1
);

-- begin_epoch(lease) -> the holder's number
SELECT begin_epoch($1);

-- speak() -> nothing
-- What it says does not matter: the server notes when a connection last said anything.
SELECT 1;

-- end_silent(lease, seconds) -> the backend that held it and has said nothing for so long, if any
SELECT CASE WHEN pg_terminate_backend(l.pid) THEN l.pid END
FROM pg_locks l
JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.classid = 0 AND l.objid = $1::bigint::oid AND l.objsubid = 1
  AND a.state <> 'active'
  AND a.state_change < clock_timestamp() - make_interval(secs => $2::double precision);
