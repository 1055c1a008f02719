"""``python -m cmmlib.bench``: what a merge step costs at real shapes, against the published algorithms and the floor."""
