"""Privacy: what a round reveals, how it is defended, what the defence costs."""
