"""Adapter packages: packing, verifying, storing and loading what runs learned."""
