"""What a classifier predicts before anything is done to the images."""
