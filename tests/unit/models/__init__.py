"""Tests of `fakeexplain.models`: the assistant."""
