"""What is in documents, read through the archives that they lie in."""

from s2sbot.text.archives import Archives
from s2sbot.text.documents import Skipped


def contents(found):
    """Return the bytes of every document by name, or the cause why they cannot be had."""
    read = {}
    with Archives() as archives:
        for document in found:
            if isinstance(document, Skipped):
                read[document.name] = document.cause
                continue
            try:
                with archives.open(document.parts[0]) as stream:
                    read[document.name] = stream.read()
            except ValueError as error:
                read[document.name] = str(error)
    return read
