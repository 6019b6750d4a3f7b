"""Church windows: slices through the latent space along two perturbations of an image."""
