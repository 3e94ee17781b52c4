"""Reads and writes other people's data set layouts: `python -m data_tools.convert --help`.

`base` holds what all share, one module holds each family of layouts, `layouts` is the list of them all, `convert` does
the work and `__main__` is the command line.
"""
