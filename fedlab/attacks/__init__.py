"""Attacks on federated learning: inversion of updates, membership inference, poisoning."""
