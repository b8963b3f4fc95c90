"""Sung vocals: words spoken by a synthesiser, and sung by a vocoder."""
