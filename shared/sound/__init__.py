"""Samples: audio files, conversions, levels, and taking a mixture apart."""
