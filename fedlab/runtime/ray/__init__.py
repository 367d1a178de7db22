"""Rounds on a Ray cluster (the extra `ray`)."""
