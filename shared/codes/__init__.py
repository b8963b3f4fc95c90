"""Songs as integer codes: their format, their files, edits and tables."""
