"""Charts as SVG that readers of print, and colour-blind ones, can read."""
