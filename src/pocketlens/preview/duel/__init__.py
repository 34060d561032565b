"""The drawing duel: `match.py` has the rules, `rooms.py` connects two players by WebSockets.

Its part of the page is in `page/duel/`.
"""
