"""Reproduces papers with one command: makes or opens their data, trains their models, and compares their tables."""
