-- upsert(name, unit, scale, symbols, volatility_bps, guards, standing) -> nothing
-- A feed's scale never changes: rooms and seconds hold values at it.
INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards, standing)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (name) DO UPDATE
SET unit = EXCLUDED.unit,
    symbols = EXCLUDED.symbols,
    volatility_bps = EXCLUDED.volatility_bps,
    guards = EXCLUDED.guards,
    standing = EXCLUDED.standing
WHERE feeds.scale = EXCLUDED.scale
RETURNING name;

-- all() -> feeds
SELECT name, unit, scale, symbols, volatility_bps, guards FROM feeds ORDER BY name;

-- named(names) -> feeds
SELECT name, unit, scale, symbols, volatility_bps, guards FROM feeds WHERE name = ANY ($1::text[]);

-- wanted() -> name, scale and symbols of the feeds that somebody needs now
SELECT name, scale, symbols FROM wanted ORDER BY name;

-- draft(name) -> nothing
UPDATE feeds SET drafted_at = now_ms() WHERE name = $1;
