"""Every real value of a pixel: the exact amplitudes that flip an image, and the least of them."""
