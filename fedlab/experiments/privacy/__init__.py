"""The privacy ledger, the curve of accuracy against epsilon, and the recipe behind it."""
