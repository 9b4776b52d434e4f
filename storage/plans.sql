-- Plans: each derives a transfer's parties from the row that causes it; the schema holds them, so
-- that nobody needs a right to write transfers.

-- plan_stakes(stakes) -> how many transfers are new
SELECT count(*) FROM plan_stakes($1::bigint[]);

-- plan_refunds(stakes) -> how many transfers are new
SELECT count(*) FROM plan_refunds($1::bigint[]);

-- plan_payouts(rooms, users, lamports) -> how many transfers are new
SELECT count(*) FROM plan_payouts($1::bigint[], $2::bigint[], $3::bigint[]);

-- plan_shares(rooms) -> keys of the transfers that are new
SELECT plan_shares($1::bigint[]) AS key;

-- plan_withdrawals(withdrawals) -> keys of the transfers that are new
SELECT plan_withdrawals($1::bigint[]) AS key;

-- plan_returns(idle_ms, most) -> how many transfers are new
SELECT count(*) FROM plan_returns($1, $2);

-- plan_earnings(lamports_min, most) -> how many transfers are new
SELECT count(*) FROM plan_earnings($1, $2);
