"""Who may come in, what they may ask, and what is written down of it."""
