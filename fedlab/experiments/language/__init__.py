"""The studies of a language model: what a federation gains, what leaks, and what noise costs."""
