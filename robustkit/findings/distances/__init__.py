"""Distances: how far perturbations move latents."""
