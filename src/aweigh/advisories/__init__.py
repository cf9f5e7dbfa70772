"""Known vulnerabilities of what a lock pins, from advisories in OSV's schema: asked for, or read from an export."""

DEFAULT_SOURCE = "https://api.osv.dev"
"""The public server of OSV's API."""
