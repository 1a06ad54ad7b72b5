"""Fits in files: numbers, names and formulas as JSON, without code and without the rows; see docs/saved_fits.md."""
