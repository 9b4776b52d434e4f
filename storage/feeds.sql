-- upsert(name, unit, scale, symbols, volatility_bps, guards, standing, then as written) -> guards
-- A feed's scale never changes: rooms and seconds hold values at it. Guards stay as they are while
-- a room is open that was opened by them.
INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards, standing, price, supply,
                   liquidity, meaning, offered, made_with)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
ON CONFLICT (name) DO UPDATE
SET unit = EXCLUDED.unit,
    symbols = EXCLUDED.symbols,
    volatility_bps = EXCLUDED.volatility_bps,
    guards = CASE WHEN EXISTS (SELECT FROM rooms r WHERE r.feed = feeds.name
                               AND r.outcome IS NULL AND r.state <> 'DRAFT')
                  THEN feeds.guards ELSE EXCLUDED.guards END,
    standing = EXCLUDED.standing,
    price = EXCLUDED.price,
    supply = EXCLUDED.supply,
    liquidity = EXCLUDED.liquidity,
    meaning = EXCLUDED.meaning,
    offered = EXCLUDED.offered,
    made_with = EXCLUDED.made_with
WHERE feeds.scale = EXCLUDED.scale
RETURNING guards;

-- all() -> feeds
SELECT name, unit, scale, symbols, volatility_bps, guards, price, supply, liquidity, meaning,
       offered, expression, inputs
FROM feeds ORDER BY name;

-- offered() -> the feeds that rooms are made on
SELECT name, unit, scale, symbols, volatility_bps, guards, price, supply, liquidity, meaning,
       offered, expression, inputs
FROM feeds WHERE offered ORDER BY name;

-- named(names) -> feeds
SELECT name, unit, scale, symbols, volatility_bps, guards, price, supply, liquidity, meaning,
       offered, expression, inputs
FROM feeds WHERE name = ANY ($1::text[]);

-- wanted() -> what must be heard now
SELECT name, scale, symbols, guards, price, supply FROM wanted ORDER BY name;

-- draft(name) -> nothing
UPDATE feeds SET drafted_at = now_ms() WHERE name = $1;
