"""`python -m s2sbot` is `s2sbot`."""

from .cli import main

main()
