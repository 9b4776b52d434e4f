-- all() -> name and value of each limit
SELECT name, value FROM withdrawal_limits;

-- name_who(who) -> nothing
SELECT set_config('rooms.who', $1, true);

-- begin(names, values) -> nothing
INSERT INTO withdrawal_limits (name, value)
SELECT * FROM unnest($1::text[], $2::bigint[])
ON CONFLICT (name) DO NOTHING;

-- take_over(names, values) -> nothing
UPDATE withdrawal_limits l
SET value = g.value, changed_at = now_ms()
FROM unnest($1::text[], $2::bigint[]) AS g (name, value)
WHERE l.name = g.name AND l.value <> g.value;
