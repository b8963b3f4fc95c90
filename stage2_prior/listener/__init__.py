"""The listener: it hears the accompaniment's codes, and names notes, chords and beats."""
