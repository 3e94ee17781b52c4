"""Faithfulness: whether answers say what was measured, all of it, and nothing else. By program, no judge model."""
