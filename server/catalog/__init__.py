"""The models of this server: which there are, which run, and turning local ones on and off."""
