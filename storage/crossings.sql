-- store(rooms, at, source_at, values, evidence) -> nothing
INSERT INTO crossings (room_id, at, source_at, value, evidence)
SELECT room_id, at, source_at, value, evidence::jsonb
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[])
     AS t (room_id, at, source_at, value, evidence);

-- of(room) -> evidence or nothing
SELECT evidence FROM crossings WHERE room_id = $1;
