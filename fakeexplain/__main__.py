"""`python -m fakeexplain` is the command line."""

from fakeexplain.cli import main

main()
