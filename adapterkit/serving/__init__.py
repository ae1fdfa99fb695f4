"""Predicting with trained adapters."""
