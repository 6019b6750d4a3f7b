"""Preflight: what is checked before any number is made."""
