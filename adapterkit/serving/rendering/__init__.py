"""Predictions as readable text, JSON, brat standoff and HTML."""
