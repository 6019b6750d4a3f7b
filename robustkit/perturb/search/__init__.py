"""Searches for a flip: each batched over images, each image with its own random stream and its own query count."""
