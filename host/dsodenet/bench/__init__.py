"""Measurements: each module prints the figures it is named after, and says what was measured on what."""
