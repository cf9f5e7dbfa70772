"""The version of aweigh, read by the build and by `aweigh --version`."""

__version__ = "0.1.0.dev0"
