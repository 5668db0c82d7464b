"""Data sets of the assignment: found, checked, decoded, split and batched."""
