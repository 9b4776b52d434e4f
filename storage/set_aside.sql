-- set_aside(origin, payload, reason) -> nothing
INSERT INTO set_aside (origin, payload, reason) VALUES ($1, $2, $3)
ON CONFLICT (origin) DO NOTHING;

-- is_set_aside(origin) -> bool
SELECT EXISTS (SELECT FROM set_aside WHERE origin = $1);
