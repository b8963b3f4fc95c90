"""The bass decoder: the bass codes as a harmonic sound and noise, for the overtones of a bass."""
