-- Feeds that are made with other feeds: with the rate of a coin, with a supply.
-- depends: 0003.open_rooms

ALTER TABLE feeds
    ADD COLUMN price text,                          -- of a market cap: the feed of its price
    ADD COLUMN supply text,                         -- and the feed of its supply
    ADD COLUMN liquidity text,                      -- the feed of what lies in its market
    ADD COLUMN meaning text NOT NULL DEFAULT '',    -- what a value of it is, printed in its rooms
    ADD COLUMN offered boolean NOT NULL DEFAULT true,
    ADD COLUMN made_with text[] NOT NULL DEFAULT '{}';

CREATE OR REPLACE VIEW wanted AS                -- the feeds that somebody needs now
    WITH RECURSIVE needed AS (
        SELECT f.name, f.made_with
        FROM feeds f
        WHERE f.standing
           OR f.drafted_at > now_ms() - 86400000
           OR EXISTS (SELECT FROM rooms r
                      WHERE r.feed = f.name AND r.deadline_at > now_ms() - 86400000)
        UNION
        SELECT f.name, f.made_with          -- and those that they are made with
        FROM needed n
        JOIN feeds f ON f.name = ANY (n.made_with)
    )
    SELECT f.name, f.scale, f.symbols, f.guards, f.price, f.supply
    FROM feeds f
    WHERE f.name IN (SELECT needed.name FROM needed);
