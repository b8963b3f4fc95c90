"""Stage 2: the autoregressive prior over bass codes."""
