-- Evidence: what a settlement follows from, gathered room by room and kept whole.

-- places(rooms) -> vault, treasury, seal and first price of each, and how well it was covered
SELECT r.id, v.address AS vault, t.address AS treasury, r.base_evidence, r.sealed_slot, r.sealed_yes,
       r.sealed_no, c.since_at, c.until_at, c.missing_ms, c.longest_gap_ms
FROM rooms r
LEFT JOIN places v ON v.room_id = r.id AND v.asset = r.asset
LEFT JOIN places t ON t.kind = 'treasury' AND t.asset = r.asset
LEFT JOIN coverage c ON c.room_id = r.id
WHERE r.id = ANY ($1::bigint[]);

-- landings(rooms) -> where each stake that counts is on the chain
SELECT room_id, id, landed_at, landed_slot, signature
FROM stakes
WHERE room_id = ANY ($1::bigint[]) AND state = 'LANDED';

-- spans(feed, from, until, milliseconds) -> its stored seconds, so many milliseconds together
SELECT $2::bigint + (second_at - $2::bigint) / $4::bigint * $4::bigint AS at,
       count(*)::integer AS seconds,
       (count(*) FILTER (WHERE last IS NULL))::integer AS silent,
       min(low) AS low, max(high) AS high,
       (array_agg(last ORDER BY second_at DESC))[1] AS last,
       max(log_position) AS position
FROM feed_seconds
WHERE feed = $1 AND second_at >= $2::bigint AND second_at < $3::bigint
GROUP BY 1
ORDER BY 1;

-- store(rooms, hashes, bundles) -> nothing
INSERT INTO evidence (room_id, hash, bundle)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bytea[]);

-- of(room) -> hash and bundle, or nothing
SELECT hash, bundle FROM evidence WHERE room_id = $1;

-- made(feeds) -> the derived ones of these, with each input that they are made of
SELECT d.name, d.expression, i.name AS input, i.scale, i.guards
FROM feeds d
JOIN feeds i ON d.inputs ? i.name
WHERE d.name = ANY ($1::text[]) AND d.expression IS NOT NULL
ORDER BY d.name, i.name;

-- caps(feeds) -> the market caps among these and what they are made of, and what each counts
SELECT r.name AS of_feed, c.name AS cap, c.scale, p.scale AS price_scale, s.name AS supply,
       s.scale AS supply_scale, s.guards
FROM feeds r
JOIN feeds c ON c.name = r.name OR r.inputs ? c.name
JOIN feeds p ON p.name = c.price
JOIN feeds s ON s.name = c.supply
WHERE r.name = ANY ($1::text[])
ORDER BY r.name, c.name;

-- counts(supply, from, until) -> the index prices that were in force then, in order
SELECT DISTINCT (memory -> 'price' ->> 'at')::bigint AS at, memory -> 'price' AS price
FROM feed_seconds
WHERE feed = $1 AND second_at BETWEEN $2 AND $3 AND last IS NOT NULL
  AND memory -> 'price' IS NOT NULL
ORDER BY 1;
