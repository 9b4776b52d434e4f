-- position() -> how far events were read; locked
INSERT INTO cursors (name, position) VALUES ('notices', '0')
ON CONFLICT (name) DO UPDATE SET moved_at = cursors.moved_at
RETURNING position;

-- spread(position, limit, kinds for bettors, kinds for creators, kinds about money) -> events read
WITH batch AS (
    SELECT number, payload, payload ->> 'kind' AS kind, (payload ->> 'room')::bigint AS room_id
    FROM outbox
    WHERE topic = 'events' AND number > $1::bigint
    ORDER BY number
    LIMIT $2
), heard AS (
    SELECT number, payload, kind, (payload ->> 'user')::bigint AS user_id
    FROM batch
    WHERE payload ? 'user'
    UNION ALL
    SELECT e.number, e.payload, e.kind, b.user_id
    FROM batch e
    JOIN bets b ON b.room_id = e.room_id
    WHERE e.kind = ANY ($3::text[])
    UNION ALL
    SELECT e.number, e.payload, e.kind, r.creator
    FROM batch e
    JOIN rooms r ON r.id = e.room_id
    WHERE e.kind = ANY ($4::text[])
), written AS (
    INSERT INTO notices (key, user_id, event, about_money)
    SELECT h.number || ':' || h.user_id, h.user_id, h.payload, h.kind = ANY ($5::text[])
    FROM heard h
    JOIN users u ON u.id = h.user_id
    ORDER BY h.number, h.user_id
    ON CONFLICT (key) DO NOTHING
), moved AS (
    UPDATE cursors
    SET position = (SELECT max(number) FROM batch)::text, moved_at = now_ms()
    WHERE name = 'notices' AND EXISTS (SELECT FROM batch)
)
SELECT count(*) FROM batch;

-- due(people, people being told now) -> notices, by person in the order of their events
WITH first AS (
    SELECT n.user_id, n.about_money, n.id
    FROM notices n
    JOIN users u ON u.id = n.user_id AND NOT u.blocked
    WHERE n.told_at IS NULL AND n.error IS NULL AND n.user_id <> ALL ($2::bigint[])
    ORDER BY n.about_money DESC, n.id
    LIMIT $1
), told AS (
    SELECT user_id, min(nth) AS nth
    FROM (SELECT user_id, row_number() OVER (ORDER BY about_money DESC, id) AS nth FROM first) f
    GROUP BY user_id
)
SELECT n.id, n.user_id AS user, u.chat_id, n.event
FROM told t
JOIN users u ON u.id = t.user_id
JOIN LATERAL (
    SELECT id, user_id, event
    FROM notices
    WHERE user_id = t.user_id AND told_at IS NULL AND error IS NULL
    ORDER BY id
    LIMIT 8
) n ON true
ORDER BY t.nth, n.id;

-- mark_told(ids) -> nothing
UPDATE notices SET told_at = now_ms(), attempts = attempts + 1 WHERE id = ANY ($1::bigint[]);

-- give_up(ids, reason) -> nothing
UPDATE notices SET error = $2, attempts = attempts + 1 WHERE id = ANY ($1::bigint[]);

-- pass_over(person) -> nothing
UPDATE notices SET error = 'passed over'
WHERE user_id = $1 AND told_at IS NULL AND error IS NULL AND NOT about_money;
