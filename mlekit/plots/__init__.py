"""Figures, one file per kind; matplotlib is an optional extra."""
