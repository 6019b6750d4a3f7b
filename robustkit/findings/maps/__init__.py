"""Maps of the latent space, in the plane and in space, with what they keep."""
