"""Notes, chords, pitch, and what is known of a song."""
