"""What stands between a model and those who ask it: what is told to whom, and who asks as a thief would."""
