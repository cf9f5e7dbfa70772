"""Who may ask, and how much: people, keys, sessions, throttling, budgets, and the log of who did what."""
