"""Two bundles in one app: who is answered by which, what came of it, and when the next one is given up. Pure."""
