"""Chord progressions of real songs: reading them, and laying them out for a band."""
