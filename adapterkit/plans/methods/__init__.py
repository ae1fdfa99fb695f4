"""AdapterHub's methods by their sizes, so that plans are counted and checked without torch."""
