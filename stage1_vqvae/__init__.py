"""Stage 1: the source-decomposed VQ-VAE."""
