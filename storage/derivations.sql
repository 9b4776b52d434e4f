-- define(text, inputs, unit, scale, volatility, guards, liquidity, how many may be) -> whether it is
SELECT define_expression($1, $2, $3, $4, $5, $6, $7, $8);

-- wanted() -> the derived feeds that somebody needs now
SELECT f.name, f.unit, f.scale, f.symbols, f.volatility_bps, f.guards, f.price, f.supply,
       f.liquidity, f.meaning, f.offered, f.expression, f.inputs
FROM feeds f JOIN wanted_expressions USING (name)
ORDER BY f.name;

-- steps(feed, step, since) -> number, low, high and last of every step that had a price
SELECT second_at / $2::bigint AS number, min(low) AS low, max(high) AS high,
       (array_agg(last ORDER BY second_at DESC) FILTER (WHERE last IS NOT NULL))[1] AS last
FROM feed_seconds
WHERE feed = $1 AND second_at >= $3 AND low IS NOT NULL
GROUP BY 1
ORDER BY 1;
