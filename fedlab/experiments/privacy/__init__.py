"""The privacy ledger, defence by defence, and the curve of accuracy against epsilon, and the recipe behind it."""
