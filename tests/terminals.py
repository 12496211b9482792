"""A process in a terminal of its own, which closes while somebody works in it."""

import fcntl
import os
import pty
import termios


def closed_on(begin):
    """Begin a process by `begin(**pipes)`, close its terminal once it has shown a validation, and return it."""

    def own_terminal():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    outer, inner = pty.openpty()
    process = begin(stdin=inner, stdout=inner, stderr=inner, start_new_session=True, preexec_fn=own_terminal)
    os.close(inner)
    shown = ""
    while "validation perplexity" not in shown:
        shown += os.read(outer, 65536).decode(errors="replace")
    os.close(outer)
    return process
