"""Corpora and settings go in, a bot folder comes out: one training run and all that belongs to it."""

from .run import Training

__all__ = ["Training"]
