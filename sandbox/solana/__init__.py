"""solana: a Solana chain of one machine, behind the JSON-RPC and PubSub protocol of a real node.

Promises  a real runtime executes every transaction; what was answered survives a kill.
Why       the product is tried and tested without a network, and with faults nobody could order.
"""
