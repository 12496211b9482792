"""The name of a known corpus, or an address, goes in; its files, checked to the last byte, lie in a folder.

Nothing here opens a connection but `fetch`, and nothing but a command that was given for that calls it.
"""

from .connection import Policy
from .known import KnownCorpus, describe, known_corpora
from .transfer import RemoteFile, Transfer, fetch, is_complete

__all__ = [
    "KnownCorpus",
    "Policy",
    "RemoteFile",
    "Transfer",
    "describe",
    "fetch",
    "is_complete",
    "known_corpora",
]
