"""Measurements of aweigh beside the floor and its peers: ``python -m bench``; README.md says what is where."""
