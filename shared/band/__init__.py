"""The synthetic band: songs composed by rule and rendered to stems, to train without MUSDB18."""
