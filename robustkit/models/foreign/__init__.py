"""Checkpoints that others made: what a file is, its weights, the network they belong to, and how both are used.

A file never chooses the code that runs. The kind of a file is read from its bytes, weights come as plain tensors, and
the network is what the user names (`--arch`).
"""
