-- find(person) -> what the person proves with; locked
SELECT pin_hash, authenticator, code_step, failures, locked_until, now_ms() AS now
FROM second_factors WHERE user_id = $1 FOR UPDATE;

-- choose_pin(person, hash) -> nothing
INSERT INTO second_factors (user_id, pin_hash) VALUES ($1, $2)
ON CONFLICT (user_id) DO UPDATE SET pin_hash = $2, failures = 0, changed_at = now_ms();

-- add_authenticator(person, name, step of its first code) -> nothing
UPDATE second_factors
SET authenticator = $2, code_step = $3, failures = 0, changed_at = now_ms()
WHERE user_id = $1;

-- note_failure(person, how many lock, milliseconds locked) -> how many in a row
UPDATE second_factors
SET failures = CASE WHEN failures + 1 >= $2 THEN 0 ELSE failures + 1 END,
    locked_until = CASE WHEN failures + 1 >= $2 THEN now_ms() + $3::bigint ELSE locked_until END
WHERE user_id = $1
RETURNING failures;

-- note_code(person, step) -> nothing
UPDATE second_factors SET code_step = $2 WHERE user_id = $1;

-- note_success(person) -> nothing
UPDATE second_factors SET failures = 0 WHERE user_id = $1;

-- lock(person, milliseconds) -> nothing
UPDATE second_factors SET locked_until = greatest(locked_until, now_ms() + $2::bigint)
WHERE user_id = $1;
