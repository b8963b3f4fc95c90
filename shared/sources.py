"""The four sources of MUSDB18, in the order every array in the project uses."""

SOURCES = ("vocals", "bass", "drums", "other")
BASS = SOURCES.index("bass")
DRUMS = SOURCES.index("drums")
