"""``python -m cmmlib.bench``: the cost of a merge step at real shapes, against the published algorithms and the floor."""
