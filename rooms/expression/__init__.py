"""Expression: what people write down to be bet on, beyond one feed's price.

Holds     the tree and its text, the reading with its errors, units, the canonical form, reckoning.
Promises  whole numbers from end to end; the same meaning has the same text.
"""
