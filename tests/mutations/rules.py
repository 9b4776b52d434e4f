"""The rules that are broken: where, how, and which test must notice it.

Promises  each old text stands in its file once, and each test exists; `tests/project` sees to that.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Mutation:
    """One rule, broken by putting ``new`` in place of ``old``."""

    rule: str
    path: str
    old: str
    new: str
    test: str


MUTATIONS = (
    Mutation(
        "height is read before status",
        "chain/fate.py",
        '    height = await rpc.block_height("finalized")\n'
        "    status_slot, statuses = await rpc.signature_statuses("
        "[each.signature for each in asked])\n",
        "    status_slot, statuses = await rpc.signature_statuses("
        "[each.signature for each in asked])\n"
        '    height = await rpc.block_height("finalized")\n',
        "tests/chain/test_fate.py::test_height_is_read_before_status_and_history_last",
    ),
    Mutation(
        "a signing is written down before it is sent",
        "streams/transfers.py",
        "recent, custody.fees, priority)\n    try:\n",
        "recent, custody.fees, priority)\n    await custody.providers.send(signed.raw)\n    try:\n",
        "tests/faults/test_chain.py"
        "::test_f1_a_signing_that_could_not_be_written_down_was_never_sent",
    ),
    Mutation(
        "accounts are locked in one order",
        "storage/migrations/0001.rooms.sql",
        "        ORDER BY name FOR UPDATE;\n\n        RETURN QUERY",
        "        ORDER BY random() FOR UPDATE;\n\n        RETURN QUERY",
        "tests/storage/test_ledger.py"
        "::test_two_hundred_tasks_share_five_accounts_without_a_deadlock",
    ),
    Mutation(
        "a message is acknowledged after it is stored",
        "streams/prices.py",
        "            if follower is not None and follower.stored < offset:\n",
        "            if follower is None and offset < 0:\n",
        "tests/streams/test_prices.py"
        "::test_each_second_is_a_row_and_what_it_covers_is_acknowledged",
    ),
    Mutation(
        "an old custody signs nothing",
        "storage/migrations/0022.restores.sql",
        "        IF NEW.epoch <> coalesce(newest, 0) THEN",
        "        IF false THEN",
        "tests/storage/test_receipts.py"
        "::test_a_custody_that_another_followed_writes_no_signing_down",
    ),
    Mutation(
        "the same key with other postings is refused",
        "storage/migrations/0001.rooms.sql",
        "            JOIN entries e ON e.key = w ->> 'key' AND e.digest <> w ->> 'digest'\n"
        "        ) THEN",
        "            JOIN entries e ON false\n        ) THEN",
        "tests/storage/test_ledger.py::test_a_key_with_other_postings_is_refused",
    ),
    Mutation(
        "what is allowed to leave is held",
        "streams/withdrawals.py",
        "                for each, _ in accepted\n            ],\n",
        "                for each, _ in accepted[:0]\n            ],\n",
        "tests/streams/test_withdrawals.py::test_a_small_one_is_held_and_leaves_at_once",
    ),
    Mutation(
        "limits count what is allowed in the same transaction",
        "streams/withdrawals.py",
        "[one for one, _ in accepted if one.asset == each.asset],",
        "[],",
        "tests/streams/test_withdrawals.py"
        "::test_what_was_taken_today_counts_in_one_batch_and_in_two",
    ),
    Mutation(
        "PostgreSQL itself keeps the limits",
        "storage/migrations/0140.assets.sql",
        "        IF FOUND THEN\n            RAISE EXCEPTION 'withdrawal",
        "        IF false THEN\n            RAISE EXCEPTION 'withdrawal",
        "tests/streams/test_withdrawals.py::test_postgres_itself_lets_nothing_past_a_limit",
    ),
    Mutation(
        "fresh winnings stay",
        "rooms/withdrawal.py",
        "    if lamports <= old:\n        return outlook.now\n",
        "    return outlook.now\n",
        "tests/streams/test_withdrawals.py"
        "::test_fresh_winnings_stay_until_nobody_can_take_them_back",
    ),
    Mutation(
        "what is leaving cannot be called off",
        "storage/intents.sql",
        "WHERE id = $1 AND user_id = $2 AND state IN ('ASKED', 'WAITING')",
        "WHERE id = $1 AND user_id = $2 AND state IN ('ASKED', 'WAITING', 'LEAVING')",
        "tests/streams/test_withdrawals.py::test_what_is_leaving_cannot_be_called_off",
    ),
    Mutation(
        "a pause is read in the money transaction",
        "streams/withdrawals.py",
        "        if not due or not await flags.is_open(connection, Flag.WITHDRAWALS):",
        "        if not due:",
        "tests/streams/test_withdrawals.py"
        "::test_while_withdrawals_are_paused_none_is_taken_and_none_leaves",
    ),
    Mutation(
        "a recipient is looked at before it is signed for",
        "streams/recipients.py",
        "    await recipient_gate(custody.providers, transfer.destination, transfer.lamports)\n",
        "",
        "tests/streams/test_custody.py::test_a_recipient_is_looked_at_before_it_is_signed_for",
    ),
    Mutation(
        "two providers must agree",
        "chain/health.py",
        "AGREEING_MIN: Final = 2",
        "AGREEING_MIN: Final = 1",
        "tests/chain/test_providers.py::test_two_that_agree_are_believed_and_no_less",
    ),
    Mutation(
        "a pool is sealed by finalized blocks",
        "chain/providers.py",
        '    slot = await rpc.slot("finalized")\n',
        '    slot = await rpc.slot("confirmed")\n',
        "tests/chain/test_providers.py::test_a_final_moment_is_one_that_two_have_reached",
    ),
    Mutation(
        "every transaction has its memo",
        "chain/transactions.py",
        "    instructions.append(memo)\n",
        "",
        "tests/chain/test_transactions.py"
        "::test_identical_twins_are_two_transactions_because_of_their_memos",
    ),
    Mutation(
        "a PIN is sealed before it is stored",
        "bot/intake.py",
        "            return bool(words) and (",
        "            return False and bool(words) and (",
        "tests/bot/test_security.py::test_the_pin_lets_it_leave_and_is_nowhere_to_be_found",
    ),
    Mutation(
        "wrong PINs are counted",
        "bot/security.py",
        "FAILURES_MAX: Final = 5",
        "FAILURES_MAX: Final = 50",
        "tests/bot/test_security.py"
        "::test_five_wrong_ones_lock_for_a_day_and_the_right_one_does_not_help",
    ),
    Mutation(
        "a code counts once",
        "bot/factors.py",
        "max(after + 1, here - STEPS_AROUND)",
        "max(0, here - STEPS_AROUND)",
        "tests/bot/test_factors.py"
        "::test_a_code_counts_in_its_half_minute_and_the_one_on_either_side_and_once",
    ),
    Mutation(
        "each asset balances by itself",
        "storage/migrations/0140.assets.sql",
        "              GROUP BY a.asset) of_one;",
        "              ) of_one;",
        "tests/streams/test_tokens.py"
        "::test_the_ledger_refuses_an_entry_that_balances_only_across_assets",
    ),
    Mutation(
        "a mint with a trap is refused",
        "chain/tokens.py",
        "        if kind not in _HARMLESS:\n",
        "        if kind in _TRAPS and kind < 12:\n",
        "tests/chain/test_tokens.py"
        "::test_a_mint_with_a_trap_is_refused_also_behind_a_harmless_extension",
    ),
    Mutation(
        "a transfer is planned in its room's asset",
        "storage/divisions.sql",
        "NOT coalesce(t.asset = coalesce(w.asset, r.asset, 'SOL') AND CASE",
        "NOT coalesce(CASE",
        "tests/streams/test_tokens.py::test_a_stake_planned_in_another_asset_is_never_signed",
    ),
    Mutation(
        "a floor on its way back holds up nothing",
        "storage/attempts.sql",
        "AND t.kind = 'return' AND t.state = 'ATTEMPTED'), 0)",
        "AND false), 0)",
        "tests/faults/test_returns.py"
        "::test_f51_a_return_and_what_a_person_moves_may_land_in_any_order",
    ),
    Mutation(
        "a floor is taken only from where nothing moves",
        "storage/attempts.sql",
        "       OR (kind = 'return' AND quiet_floor(from_address) IS DISTINCT FROM lamports)\n",
        "",
        "tests/faults/test_returns.py::test_an_address_that_is_used_keeps_its_floor",
    ),
    Mutation(
        "nobody gets more than he earned",
        "storage/divisions.sql",
        "                          AND t.lamports <= (SELECT balance FROM accounts\n"
        "                                             WHERE name = 'earned:' || t.user_id)\n",
        "",
        "tests/faults/test_returns.py::test_a_plan_that_was_tampered_with_is_not_signed",
    ),
)
