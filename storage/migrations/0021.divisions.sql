-- Custody derives every plan again before it signs, and pauses everything when it finds another.
-- depends: 0020.receipts

CREATE OR REPLACE FUNCTION report_breach(breach text, rule text, what text) RETURNS boolean
    LANGUAGE plpgsql
    AS $$
    BEGIN
        INSERT INTO acts (key, kind, subject, reason, who)
        VALUES (breach, 'breach', rule, what,
                CASE session_user WHEN 'rooms_custody' THEN 'custody' ELSE 'auditor' END)
        ON CONFLICT (key) DO NOTHING;
        IF NOT FOUND THEN
            RETURN false;
        END IF;
        INSERT INTO flags (name, open, reason) VALUES ('all', false, what)
        ON CONFLICT (name) DO UPDATE SET open = false, reason = what, changed_at = now_ms();
        RETURN true;
    END $$;
ALTER FUNCTION report_breach SECURITY DEFINER SET search_path = public, pg_temp;

GRANT EXECUTE ON FUNCTION report_breach TO rooms_custody;
GRANT SELECT ON crossings TO rooms_custody;
