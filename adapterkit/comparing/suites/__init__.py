"""Suites: many runs from one file, each made once."""
