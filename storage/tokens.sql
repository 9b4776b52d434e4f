-- Tokens: what may be staked beside SOL.

-- all() -> every token
SELECT name, mint, decimals, program FROM tokens ORDER BY name;

-- insert(name, mint, decimals, program) -> nothing
INSERT INTO tokens (name, mint, decimals, program) VALUES ($1, $2, $3, $4)
ON CONFLICT DO NOTHING;
