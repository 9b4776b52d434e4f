-- A live room is cut by its touch: what had landed after that is given back before the pool is sealed.
-- depends: 0020.receipts 0040.touch

-- miss_late_stakes(room) -> stakes that landed in a live room after what became its cut
-- A live room is cut by its touch: such a stake is not in the pool, and goes back in full.
CREATE FUNCTION miss_late_stakes(room bigint)
    RETURNS TABLE (stake_id bigint, owner_id bigint, amount bigint)
    LANGUAGE plpgsql
    AS $$
    DECLARE late bigint[];
    BEGIN
        WITH missed AS (
            UPDATE stakes s SET state = 'MISSED'
            FROM rooms r
            WHERE r.id = room AND s.room_id = r.id AND r.is_live AND r.sealed_at IS NULL
              AND s.state = 'LANDED' AND s.landed_at > r.cut_at
            RETURNING s.id
        )
        SELECT array_agg(m.id ORDER BY m.id) INTO late FROM missed m;
        PERFORM post_legs((
            SELECT jsonb_agg(leg ORDER BY s.id, leg ->> 1)
            FROM stakes s
            CROSS JOIN LATERAL (VALUES
                (jsonb_build_array('late:' || s.id, 'pool:' || s.room_id, -s.lamports)),
                (jsonb_build_array('late:' || s.id, 'due:' || s.room_id, s.lamports))
            ) AS l (leg)
            WHERE s.id = ANY (late)))
        WHERE late IS NOT NULL;
        RETURN QUERY
        SELECT s.id, s.user_id, s.lamports FROM stakes s WHERE s.id = ANY (late) ORDER BY s.id;
    END $$;

ALTER FUNCTION miss_late_stakes SECURITY DEFINER SET search_path = public, pg_temp;
REVOKE EXECUTE ON FUNCTION miss_late_stakes FROM PUBLIC;
GRANT EXECUTE ON FUNCTION miss_late_stakes TO rooms_custody;
