"""The drawing duel: the rules of a match, and the rooms in which two players meet."""
