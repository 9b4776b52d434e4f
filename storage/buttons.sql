-- show(tokens, people, actions, expiries) -> nothing
INSERT INTO buttons (token, user_id, action, expires_at)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::jsonb[], $4::bigint[]);

-- find(token) -> the button, locked
SELECT token, user_id AS user, action, expires_at, used_at
FROM buttons
WHERE token = $1
FOR UPDATE;

-- use(token) -> nothing
UPDATE buttons SET used_at = now_ms() WHERE token = $1;

-- forget(milliseconds kept) -> nothing
DELETE FROM buttons WHERE expires_at < now_ms() - $1::bigint;
