-- tell(room ids, keys, payloads) -> nothing
-- A public event of a room carries the room's next sequence number, taken under the room's row.
WITH asked AS (
    SELECT room_id, key, payload::jsonb, ordinal
    FROM unnest($1::bigint[], $2::text[], $3::text[]) WITH ORDINALITY
         AS t (room_id, key, payload, ordinal)
), locked AS (
    SELECT id FROM rooms WHERE id IN (SELECT room_id FROM asked) ORDER BY id FOR NO KEY UPDATE
), counted AS (
    UPDATE rooms r
    SET event_count = r.event_count + t.count
    FROM (SELECT room_id, count(*) AS count FROM asked GROUP BY room_id) t
    JOIN locked l ON l.id = t.room_id
    WHERE r.id = t.room_id
    RETURNING r.id, r.event_count - t.count AS before
), written AS (
    INSERT INTO outbox (topic, key, payload)
    SELECT 'events', a.key,
           CASE WHEN a.room_id IS NULL THEN a.payload
                ELSE a.payload || jsonb_build_object(
                    'seq',
                    c.before + row_number() OVER (PARTITION BY a.room_id ORDER BY a.ordinal))
           END
    FROM asked a
    LEFT JOIN counted c ON c.id = a.room_id
    ORDER BY a.ordinal
)
SELECT pg_notify('outbox', '');

-- tell_bettors(room, at, kind when paid, kind when not, users, staked, paid) -> nothing
-- Such an event is one person's and has no number within its room, so the room's row stays as it is.
WITH written AS (
    INSERT INTO outbox (topic, key, payload)
    SELECT 'events', $1::bigint::text,
           CASE WHEN t.paid IS NULL
                THEN jsonb_build_object('kind', $4::text, 'at', $2::bigint,
                                        'room', $1::bigint::text, 'user', t.user_id,
                                        'staked', t.staked::text)
                ELSE jsonb_build_object('kind', $3::text, 'at', $2::bigint,
                                        'room', $1::bigint::text, 'user', t.user_id,
                                        'staked', t.staked::text, 'lamports', t.paid::text)
           END
    FROM unnest($5::bigint[], $6::bigint[], $7::bigint[]) AS t (user_id, staked, paid)
)
SELECT pg_notify('outbox', '');

-- wake(topics) -> nothing
SELECT wake_up(topic), pg_notify('outbox', '') FROM unnest($1::text[]) AS topic;

-- write(topic, key, payload) -> nothing
WITH written AS (
    INSERT INTO outbox (topic, key, payload) VALUES ($1, $2, $3)
)
SELECT pg_notify('outbox', '');

-- unsent(limit) -> rows in the order of their ids
SELECT id, topic, key, payload, number
FROM outbox
WHERE sent_at IS NULL
ORDER BY id
LIMIT $1;

-- give_numbers(ids) -> id and number of each event that had none
WITH last AS (
    SELECT coalesce(max(number), 0) AS number FROM outbox WHERE number IS NOT NULL
), told AS (
    SELECT id, row_number() OVER (ORDER BY id) AS nth
    FROM outbox
    WHERE id = ANY ($1::bigint[]) AND topic = 'events' AND number IS NULL
)
UPDATE outbox o
SET number = last.number + told.nth
FROM last, told
WHERE o.id = told.id
RETURNING o.id, o.number;

-- notify_events() -> nothing
SELECT pg_notify('events', '');

-- mark_sent(ids) -> nothing
UPDATE outbox SET sent_at = now_ms() WHERE id = ANY ($1::bigint[]);

-- delete_sent(milliseconds kept, limit) -> ids
DELETE FROM outbox
WHERE id IN (
    SELECT id FROM outbox
    WHERE topic <> 'events' AND sent_at IS NOT NULL AND sent_at < now_ms() - $1::bigint
    ORDER BY sent_at
    FOR UPDATE SKIP LOCKED
    LIMIT $2
)
RETURNING id;
