"""Compose songs: style, form, harmony, parts and human timing."""
