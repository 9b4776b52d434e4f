-- keep(name, body, made_at, not_before) -> the body kept under that name
INSERT INTO signing_requests AS kept (name, body, made_at)
VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE
    SET body = CASE WHEN kept.made_at >= $4 THEN kept.body ELSE excluded.body END,
        made_at = CASE WHEN kept.made_at >= $4 THEN kept.made_at ELSE excluded.made_at END
RETURNING body;

-- forget(before) -> how many were made before that
DELETE FROM signing_requests WHERE made_at < $1;
