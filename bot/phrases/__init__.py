"""Phrases: every sentence that the bot says.

In        facts: rooms, wallets, events, moments.
Out       text in Telegram's HTML.
Promises  pure; whatever a person can influence is escaped; estimates are rounded down to four
          decimals, receipts are exact.
"""
