-- begin(person, state) -> nothing
INSERT INTO conversations (user_id, state) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET state = $2, changed_at = now_ms();

-- end(person) -> nothing
DELETE FROM conversations WHERE user_id = $1;

-- topics(people) -> what each was asked last, of those who were
SELECT user_id, state ->> 'about' AS about FROM conversations WHERE user_id = ANY ($1::bigint[]);
