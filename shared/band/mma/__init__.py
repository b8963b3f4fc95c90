"""Arrangements by MMA (Musical MIDI Accompaniment)."""
