"""Sums of the clients' integers of which nobody sees a summand: masks, CKKS, secret sharing.

Teaching code. The parties are simulated in one process, and the server is honest but curious unless a
docstring says otherwise. Do not protect real people with it.
"""
