"""Differential privacy: clipping, noise, accounting, and an audit of what they promise.

Teaching code. The parties are simulated in one process, and the server is honest but curious unless a
docstring says otherwise. Do not protect real people with it.
"""
