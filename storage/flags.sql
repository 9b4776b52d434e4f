-- is_open(name) -> whether it and the one for all are open, and this transaction is waited for
SELECT flag_is_open($1);

-- change(name, open, reason, kind of act, who) -> nothing
WITH changed AS (
    INSERT INTO flags (name, open, reason) VALUES ($1, $2, $3)
    ON CONFLICT (name) DO UPDATE SET open = $2, reason = $3, changed_at = now_ms()
)
INSERT INTO acts (kind, subject, reason, who) VALUES ($4, $1, $3, $5);

-- close(name, reason) -> whether that was not known yet; a process closes it by itself
SELECT close_flag($1, $2);

-- known() -> every flag that was ever set, and whether it is open
SELECT name, open, reason FROM flags ORDER BY name;

-- limit_wait(milliseconds) -> nothing
SELECT set_config('lock_timeout', $1::bigint || 'ms', true);

-- wait_out(name) -> nothing, once nobody who read it before is under way
SELECT pg_advisory_xact_lock(7266310, hashtext($1));
