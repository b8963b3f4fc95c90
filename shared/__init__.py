"""What both stages stand on. It imports neither stage."""
