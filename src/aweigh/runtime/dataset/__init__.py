"""Scoring a data set: many files in, as many out, each whole or not at all, on all cores or on a cluster."""
