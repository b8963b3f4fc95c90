"""Songs as integer codes."""
