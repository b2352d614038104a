"""What is left after any single fault, and after a kill at any moment."""
