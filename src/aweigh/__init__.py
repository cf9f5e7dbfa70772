"""aweigh."""
