"""The local runtime: a round in this process, clients in threads."""
