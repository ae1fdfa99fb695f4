"""How backbones are made: compression and distillation."""
