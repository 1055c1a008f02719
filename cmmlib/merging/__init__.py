"""One merge: what is fixed, what stands after some models, one step, and where it lives."""
