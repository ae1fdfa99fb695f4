"""Adapters in PEFT's format: LoRA, where both compute the same."""
