-- claim(limit) -> requests in the order of asking
SELECT id, user_id AS user, room_id AS room, side, lamports
FROM bet_requests
WHERE done_at IS NULL
ORDER BY id
FOR UPDATE SKIP LOCKED
LIMIT $1;

-- feeds(rooms) -> the feeds of those rooms that are about a fixed value
SELECT DISTINCT feed FROM rooms WHERE id = ANY ($1::bigint[]) AND move_bps IS NULL;

-- standings(rooms, users) -> what each person has in each room
SELECT b.id AS bet, b.room_id AS room, b.user_id AS user, b.side,
       coalesce(sum(s.lamports) FILTER (WHERE s.state IN ('HELD', 'LANDED')), 0)::bigint AS lamports
FROM (SELECT DISTINCT * FROM unnest($1::bigint[], $2::bigint[])) AS w (room_id, user_id)
JOIN bets b USING (room_id, user_id)
LEFT JOIN stakes s ON s.room_id = b.room_id AND s.user_id = b.user_id
GROUP BY b.id;

-- bettors(rooms) -> how many people have a bet in each
SELECT room_id AS room, count(*) AS bettors
FROM bets
WHERE room_id = ANY ($1::bigint[])
GROUP BY room_id;

-- pools(rooms) -> what is staked in each, on its way too
SELECT room_id AS room, sum(lamports)::bigint AS lamports
FROM stakes
WHERE room_id = ANY ($1::bigint[]) AND state IN ('HELD', 'LANDED')
GROUP BY room_id;

-- queues(cuts) -> how many stakes will be signed before those of each cut, or with them
SELECT c.cut_at, count(t.id) AS waiting
FROM unnest($1::bigint[]) AS c (cut_at)
LEFT JOIN transfers t ON t.state = 'PLANNED' AND t.kind = 'stake' AND t.due_at <= c.cut_at
GROUP BY c.cut_at;

-- moment(users) -> the database's clock; who is frozen: a fork took back what they have staked; and
-- whose bets that came back have cost the network's fees of this hour
SELECT now_ms() AS now,
       ARRAY(SELECT a.user_id FROM deposits d JOIN places a ON a.address = d.address
             WHERE d.gone_at IS NOT NULL AND d.final_at IS NULL AND d.undone_at IS NULL
               AND a.user_id = ANY ($1::bigint[])) AS frozen,
       ARRAY(SELECT f.user_id FROM returned_fees f
             JOIN bet_limits l ON l.name = 'returned_fee_lamports_hour_max'
             WHERE f.user_id = ANY ($1::bigint[]) AND f.hour = now_ms() / 3600000
               AND f.lamports >= l.value) AS costly;

-- limit_returned_fees(lamports) -> nothing
UPDATE bet_limits SET value = $1, changed_at = now_ms()
WHERE name = 'returned_fee_lamports_hour_max' AND value <> $1;

-- stake_ids(count) -> ids
SELECT nextval(pg_get_serial_sequence('stakes', 'id')) AS id FROM generate_series(1, $1::int);

-- insert_bets(rooms, users, sides) -> the new bets
INSERT INTO bets (room_id, user_id, side)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[])
RETURNING id AS bet, room_id AS room, user_id AS user;

-- insert_stakes(ids, bets, rooms, users, sides, lamports, weights, accepted at) -> nothing
INSERT INTO stakes (id, bet_id, room_id, user_id, side, lamports, weight_bps, accepted_at)
SELECT *, $8::bigint
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[],
            $7::integer[]);

-- answer(requests, stakes, refusals) -> nothing
UPDATE bet_requests q
SET done_at = now_ms(), stake_id = a.stake_id, refusal = a.refusal
FROM unnest($1::bigint[], $2::bigint[], $3::jsonb[]) AS a (id, stake_id, refusal)
WHERE q.id = a.id;
