"""A compose project on this machine, by Docker or podman: the app, PostgreSQL and Valkey, and a proxy for replicas."""
