"""The protocol: which rows under which orders, run in parallel, stored, and set beside each other."""
