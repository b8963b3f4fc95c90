"""The seeds that all random number generators of the project accept."""

LARGEST_SEED = 2**63 - 1  # torch takes 64 bits with a sign
