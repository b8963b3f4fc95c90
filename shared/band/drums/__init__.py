"""Sampled drum kits and electronic kicks."""
