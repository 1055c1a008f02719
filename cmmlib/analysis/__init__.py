"""Numbers in; numbers, tables or axes out.  Knows nothing of models, suites and experiments."""
