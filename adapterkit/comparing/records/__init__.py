"""Finished runs as they are compared: read, checked, and kept from being mixed."""
