"""Instruction data that is grounded by construction: alignment, mask-text alignment and dialogues about pictures.

Pictures come from the forge, facts from what the instruments measured on the finished file, words from a small
grammar, and every answer is parsed and checked against its record before it is written. See docs/instructions.md.
"""
