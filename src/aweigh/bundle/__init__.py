"""Bundles: a folder or a deterministic zip whose manifest names every byte."""
