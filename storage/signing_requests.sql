-- keep(name, body, made_at, not_before) -> the body kept under that name; those of days ago go
WITH gone AS (
    DELETE FROM signing_requests WHERE made_at < $3::bigint - 86400000 AND name <> $1
)
INSERT INTO signing_requests AS kept (name, body, made_at)
VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE
    SET body = CASE WHEN kept.made_at >= $4 THEN kept.body ELSE excluded.body END,
        made_at = CASE WHEN kept.made_at >= $4 THEN kept.made_at ELSE excluded.made_at END
RETURNING body;
