"""What every place of ``aweigh deploy PLACE`` holds: `place.py` says what a place is, `places.py` which there are."""
