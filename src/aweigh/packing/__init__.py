"""Packing: a model file and a sample become a bundle whose answers are proven to be the original's."""

from aweigh.packing.pack import Packed, pack

__all__ = ["Packed", "pack"]
