"""Scores: their parts, and MIDI files in and out."""
