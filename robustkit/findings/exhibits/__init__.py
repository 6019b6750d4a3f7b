"""Flips of an attack, chosen to be looked at."""
