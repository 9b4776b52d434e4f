-- Audit log: acts and events about money, in an order that can only be added to.

-- end() -> the number and hash of the last row, and the last event in it
SELECT coalesce(max(number), 0) AS number,
       (SELECT hash FROM audit_log ORDER BY number DESC LIMIT 1) AS hash,
       coalesce(max(event), 0) AS event
FROM audit_log;

-- hash_at(number) -> the hash of that row
SELECT hash FROM audit_log WHERE number = $1;

-- new_acts(limit) -> acts that are not in the log yet
SELECT a.id, a.kind, a.subject, a.reason, a.who, a.role, a.at
FROM acts a
WHERE NOT EXISTS (SELECT FROM audit_log l WHERE l.act = a.id)
ORDER BY a.id LIMIT $1;

-- append(numbers, at, kinds, events, acts, facts, hashes) -> nothing
INSERT INTO audit_log (number, at, kind, event, act, facts, hash)
SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[],
                     $6::jsonb[], $7::text[]);

-- rows(after, limit) -> rows in their order
SELECT number, at, kind, event, act, facts, hash FROM audit_log
WHERE number > $1 ORDER BY number LIMIT $2;

-- unlike(after, to) -> the first row that says something else than the event or act it repeats
SELECT l.number
FROM audit_log l
LEFT JOIN outbox o ON o.number = l.event
LEFT JOIN acts a ON a.id = l.act
WHERE l.number > $1 AND l.number <= $2
  AND CASE WHEN l.event IS NOT NULL THEN o.payload IS DISTINCT FROM l.facts
           ELSE a.kind IS DISTINCT FROM l.kind
                OR a.at IS DISTINCT FROM l.at
                OR jsonb_build_object('subject', a.subject, 'reason', a.reason, 'who', a.who,
                                      'role', a.role) IS DISTINCT FROM l.facts
      END
ORDER BY l.number LIMIT 1;

-- note(kind, subject, reason, who) -> nothing
INSERT INTO acts (kind, subject, reason, who) VALUES ($1, $2, $3, $4);
