-- after(number, kinds, limit) -> numbered events after a number; kinds null: all of them
SELECT number, payload
FROM outbox
WHERE number > $1 AND ($2::text[] IS NULL OR payload ->> 'kind' = ANY ($2::text[]))
ORDER BY number
LIMIT $3;

-- last() -> the highest number given
SELECT coalesce(max(number), 0) FROM outbox WHERE number IS NOT NULL;
