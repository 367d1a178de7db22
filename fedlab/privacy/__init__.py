"""Privacy: what a round reveals, how it is defended, what the defence costs.

Teaching code. The parties are simulated in one process, and the server is honest but curious unless a
docstring says otherwise. Do not protect real people with it.
"""
