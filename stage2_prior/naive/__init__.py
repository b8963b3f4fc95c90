"""A baseline: the plain encoder-decoder over codes alone, without notes."""
