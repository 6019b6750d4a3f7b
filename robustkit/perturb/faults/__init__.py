"""Accidental faults of images in physical units: exposure, optics, detector, pipeline.

Each file holds one perturbation or one kind of it. Symbols in their formulas: n the stored value, s the stored value
of one electron, sky and B the sky and the variance of an empty pixel in electrons (all visits), t seconds, p the pixel
scale.
"""
