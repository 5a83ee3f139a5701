"""What is computed once for many: rows under way, and, where an operator wants it, vectors kept for later."""
