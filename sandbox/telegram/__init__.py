"""Telegram, stood in for on one machine: the Bot API, the people, and a page to chat on.

Holds     ``serve`` (start here), ``bot_api`` and ``methods`` (what a bot calls), ``people`` and
          ``person`` (what people do, by HTTP and from Python), ``page`` (what they do by hand),
          ``updates`` and ``webhook`` (how a bot hears), ``faults`` (what goes wrong on request).
Promises  a bot made for Telegram runs against it unmodified; only the address differs.
Why       private chats only: money commands are not taken elsewhere.
"""
