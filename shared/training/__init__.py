"""Training runs: settings, loop, optimisers, state and checkpoints."""
