"""Metrics as modules of the evaluate library, defined here so that none is ever downloaded."""
