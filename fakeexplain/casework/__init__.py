"""The case folder: originals kept bit by bit, a hash-chained log of every action, and exports that others can check."""
