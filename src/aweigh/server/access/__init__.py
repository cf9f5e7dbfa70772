"""The door: who asks, from where, and whether that may come in; the pages on which people sign in."""
