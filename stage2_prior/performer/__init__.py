"""The performer: it writes the codes of a bass that plays given notes."""
