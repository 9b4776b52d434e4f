-- Custody closes a flag by itself.
-- depends: 0080.signing_requests 0072.audit_heads 0032.limit_acts

-- close_flag(flag, why) -> whether that was not known yet
-- Only ever closes. The same reason is written down once for as long as the flag stays closed.
CREATE FUNCTION close_flag(flag text, why text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(hashtext('rooms.close_flag'));
        IF NOT EXISTS (SELECT FROM flags f WHERE f.name = flag AND f.open)
           AND EXISTS (SELECT FROM acts a
                       WHERE a.kind = 'pause' AND a.subject = flag AND a.reason = why) THEN
            RETURN false;
        END IF;
        INSERT INTO acts (kind, subject, reason, who)
        VALUES ('pause', flag, why,
                CASE session_user WHEN 'rooms_custody' THEN 'custody' ELSE session_user END);
        INSERT INTO flags (name, open, reason) VALUES (flag, false, why)
        ON CONFLICT (name) DO UPDATE SET open = false, reason = why, changed_at = now_ms();
        RETURN true;
    END $$;

ALTER FUNCTION close_flag SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION close_flag FROM PUBLIC;
GRANT EXECUTE ON FUNCTION close_flag TO rooms_custody;
