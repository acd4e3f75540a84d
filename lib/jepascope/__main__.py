"""`python -m jepascope` is `jepascope`."""

from jepascope.cli import main

main()
