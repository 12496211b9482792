"""Corpora and settings go in; a folder of packed token ids with tokenizers, held-out text and a data card comes out.

    plan        find every document, share them out                  plan.py
    read        documents -> turns and rows, shard by shard           reading.py
    choose      split, duplicates, overlap, cap on replies            choosing.py, similar.py
    vocabulary  learnt from a sample of what is learnt from           vocabulary.py
    pack        rows -> token ids, shard by shard                     packing.py
    merge       all shards -> one set of arrays, in order of names    merging.py

Reading and packing run in several processes; a shard that is done is not done again when a preparation that was
killed is begun anew. What is in memory at a time does not grow with the corpus.
"""

from __future__ import annotations

from ..text.documents import is_prepared
from .account import account
from .prepared import Prepared, adopt, open_prepared, prepared_corpus, with_vectors
from .stages import prepare
from .work import WORK

__all__ = [
    "WORK",
    "Prepared",
    "account",
    "adopt",
    "is_prepared",
    "open_prepared",
    "prepare",
    "prepared_corpus",
    "with_vectors",
]
