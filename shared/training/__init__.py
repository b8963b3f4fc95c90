"""Train models: settings, the loop, optimisers, the state on disk, and checkpoints."""
