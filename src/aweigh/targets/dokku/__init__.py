"""Dokku, by its own way: a repository is pushed to it over ssh, and it builds, checks and switches."""
