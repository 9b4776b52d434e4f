-- read(names) -> name and open, locked against a change until the transaction ends
SELECT name, open FROM flags WHERE name = ANY ($1::text[]) ORDER BY name FOR SHARE;

-- change(name, open, reason) -> nothing
INSERT INTO flags (name, open, reason) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET open = $2, reason = $3, changed_at = now_ms();

-- known() -> every flag that was ever set, and whether it is open
SELECT name, open, reason FROM flags ORDER BY name;
