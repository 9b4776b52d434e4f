-- Derived feeds: an expression over plain feeds, written once and never changed.
-- depends: 0060.push

ALTER TABLE feeds
    ADD COLUMN expression text UNIQUE,              -- of a derived feed: what it is, in its one form
    ADD COLUMN inputs jsonb NOT NULL DEFAULT '{}',  -- the feeds that it is made of, and their scales
    ADD CONSTRAINT feeds_expression_check CHECK (
        (expression IS NULL AND name NOT LIKE 'expr:%' AND inputs = '{}')
        OR (name = 'expr:' || left(encode(sha256(convert_to(expression, 'UTF8')), 'hex'), 32)
            AND inputs <> '{}'));

CREATE FUNCTION refuse_other_expression() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    BEGIN
        IF (OLD.expression, OLD.inputs, OLD.scale) IS DISTINCT FROM
           (NEW.expression, NEW.inputs, NEW.scale) THEN
            RAISE EXCEPTION 'a feed is never made into another' USING ERRCODE = 'restrict_violation';
        END IF;
        RETURN NEW;
    END $$;
CREATE TRIGGER feeds_stay_what_they_are BEFORE UPDATE ON feeds
    FOR EACH ROW EXECUTE FUNCTION refuse_other_expression();

CREATE OR REPLACE VIEW wanted AS                -- the feeds that somebody needs now, but derived ones
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
    WHERE f.name IN (SELECT needed.name FROM needed) AND f.expression IS NULL;

CREATE VIEW wanted_expressions AS               -- the derived feeds that somebody needs now
    SELECT f.name
    FROM feeds f
    WHERE f.expression IS NOT NULL
      AND (f.standing
           OR f.drafted_at > now_ms() - 86400000
           OR EXISTS (SELECT FROM rooms r
                      WHERE r.feed = f.name AND r.deadline_at > now_ms() - 86400000));

-- define_expression(text, inputs, unit, scale, volatility, guards, liquidity, how many may be)
--   -> whether it is there and wanted
-- Its name is made here, so that nobody gives an expression the name of another.
CREATE FUNCTION define_expression(wanted_text text, made_of jsonb, unit text, scale integer,
                                  volatility integer, guards jsonb, liquidity text, most integer)
    RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    DECLARE
        called text := 'expr:' || left(encode(sha256(convert_to(wanted_text, 'UTF8')), 'hex'), 32);
    BEGIN
        IF EXISTS (SELECT FROM jsonb_each(made_of) AS i (feed, its_scale)
                   LEFT JOIN feeds f ON f.name = i.feed AND f.expression IS NULL
                                    AND to_jsonb(f.scale) = i.its_scale
                   WHERE f.name IS NULL) THEN
            RAISE EXCEPTION 'made of what is no plain feed: %', made_of
                USING ERRCODE = 'check_violation';
        END IF;
        IF NOT EXISTS (SELECT FROM wanted_expressions WHERE name = called)
           AND (SELECT count(*) FROM wanted_expressions) >= most THEN
            RETURN false;
        END IF;
        INSERT INTO feeds (name, unit, scale, symbols, volatility_bps, guards, liquidity, offered,
                           made_with, expression, inputs, drafted_at)
        SELECT called, define_expression.unit, define_expression.scale, '{}', volatility,
               define_expression.guards, define_expression.liquidity, false,
               ARRAY(SELECT jsonb_object_keys(made_of) ORDER BY 1), wanted_text, made_of, now_ms()
        ON CONFLICT (name) DO UPDATE SET drafted_at = now_ms();
        RETURN true;
    END $$;

ALTER FUNCTION define_expression SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION define_expression FROM PUBLIC;
GRANT EXECUTE ON FUNCTION define_expression TO rooms_bot;
GRANT SELECT ON wanted_expressions TO rooms_worker;
