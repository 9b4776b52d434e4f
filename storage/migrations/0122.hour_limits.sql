-- What custody signs in an hour has a limit of PostgreSQL's own: in SOL; a token has the limits of
-- what may leave.
-- depends: 0120.stops 0140.assets

INSERT INTO withdrawal_limits (name, value) VALUES
    ('signed_lamports_hour_max', 600000000000),
    ('floor_lamports_hour_max', 10000000000);

CREATE INDEX attempts_by_signing ON attempts (signed_at);

-- What custody has signed in an hour, by the limit that it counts against. What never landed and
-- never will counts no more, nor does what was read back from the chain after a restore.
CREATE VIEW signed_this_hour AS
SELECT 'signed_lamports_hour_max' AS name, coalesce(sum(t.lamports), 0)::bigint AS lamports
FROM attempts a
JOIN attempt_transfers l ON l.attempt_id = a.id
JOIN transfers t ON t.id = l.transfer_id
WHERE a.signed_at > now_ms() - 3600000 AND a.state IN ('SIGNED', 'LANDED')
  AND a.raw <> '' AND t.kind = 'withdrawal' AND t.asset = 'SOL'
UNION ALL
SELECT 'floor_lamports_hour_max', coalesce(sum(f.lamports), 0)::bigint
FROM attempts a
JOIN attempt_floors f ON f.attempt_id = a.id
WHERE a.signed_at > now_ms() - 3600000 AND a.state IN ('SIGNED', 'LANDED')
  AND a.raw <> '';

-- Whoever writes a signing down, and however: above the limit it is refused.
CREATE FUNCTION signed_within_limits() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
    DECLARE broken text;
    BEGIN
        IF TG_TABLE_NAME = 'attempt_transfers' THEN
            IF NOT EXISTS (SELECT FROM fresh f JOIN transfers t ON t.id = f.transfer_id
                           WHERE t.kind = 'withdrawal') THEN
                RETURN NULL;
            END IF;
        ELSIF NOT EXISTS (SELECT FROM fresh) THEN
            RETURN NULL;
        END IF;
        PERFORM pg_advisory_xact_lock(hashtext('rooms.signed_this_hour'));
        SELECT s.name INTO broken
        FROM signed_this_hour s LEFT JOIN withdrawal_limits l ON l.name = s.name
        WHERE s.name = TG_ARGV[0] AND s.lamports > coalesce(l.value, 0);
        IF FOUND THEN
            RAISE EXCEPTION 'more would leave in this hour than %', broken USING ERRCODE = 'RL003';
        END IF;
        RETURN NULL;
    END $$;
ALTER FUNCTION signed_within_limits SECURITY DEFINER SET search_path = public, pg_temp;
CREATE TRIGGER signed_within_limits AFTER INSERT ON attempt_transfers
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION signed_within_limits('signed_lamports_hour_max');
CREATE TRIGGER floors_within_limits AFTER INSERT ON attempt_floors
    REFERENCING NEW TABLE AS fresh
    FOR EACH STATEMENT EXECUTE FUNCTION signed_within_limits('floor_lamports_hour_max');

GRANT SELECT ON signed_this_hour TO rooms_custody, rooms_auditor;
