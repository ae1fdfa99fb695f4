"""Comparing runs: reading them, statistics, tables, suites, reports."""
