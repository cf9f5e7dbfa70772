"""A plain server over ssh: systemd runs the app in two slots, Caddy sends people to the one that is live."""
