"""The synthetic band: songs composed by rule and rendered to stems, for training without MUSDB18."""
