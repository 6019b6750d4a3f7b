"""Sweeps: what a classifier says at each level of each perturbation."""
