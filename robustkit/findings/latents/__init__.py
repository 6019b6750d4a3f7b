"""Latents of the images of an attack: as they are, with noise, and with the pixel that flips them."""
