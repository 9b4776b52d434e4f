-- keep(ids, people, payloads) -> ids that are new
INSERT INTO updates (update_id, person_id, payload)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::jsonb[])
ON CONFLICT DO NOTHING
RETURNING update_id;

-- claim() -> the oldest update whose person has none before it
-- A row that another handler holds keeps that person's later ones waiting: it is not done yet.
SELECT u.update_id AS id, u.person_id AS person, u.payload
FROM updates u
WHERE u.done_at IS NULL
  AND NOT EXISTS (
      SELECT FROM updates earlier
      WHERE earlier.person_id = u.person_id
        AND earlier.done_at IS NULL
        AND earlier.update_id < u.update_id)
ORDER BY u.update_id
FOR UPDATE SKIP LOCKED
LIMIT 1;

-- finish(id, replies) -> nothing
-- What was sealed is needed no more.
UPDATE updates
SET done_at = now_ms(), replies = $2, payload = payload #- '{message,rooms_sealed}'
WHERE update_id = $1;

-- note_failure(id, reason) -> how often it failed, unless it is done
-- Another handler may have taken it up meanwhile: its word, good or bad, stands.
UPDATE updates
SET attempts = attempts + 1, error = $2
WHERE update_id = $1 AND done_at IS NULL
RETURNING attempts;

-- unanswered(limit) -> id, person and replies
-- What is older than ten minutes would only confuse.
SELECT update_id AS id, person_id AS person, replies
FROM updates
WHERE replies IS NOT NULL AND done_at > now_ms() - 600000
ORDER BY update_id
LIMIT $1;

-- mark_answered(ids) -> nothing
UPDATE updates SET replies = NULL WHERE update_id = ANY ($1::bigint[]);

-- forget(milliseconds kept) -> nothing
DELETE FROM updates WHERE done_at < now_ms() - $1::bigint;

-- take_turn() -> whether this connection is the bot's now
SELECT pg_try_advisory_lock(hashtext('rooms.bot'));

-- leave_turn() -> whether it was
SELECT pg_advisory_unlock(hashtext('rooms.bot'));
