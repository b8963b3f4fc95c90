"""Handle songs on disk: their stems, splits, decoded copies and variations."""
