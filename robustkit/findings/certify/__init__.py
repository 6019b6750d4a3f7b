"""Certificates: every pixel tried with every value of a declared set."""
