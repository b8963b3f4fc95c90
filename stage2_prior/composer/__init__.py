"""The composer: it writes the notes of the bass on the beats and bars of a song."""
