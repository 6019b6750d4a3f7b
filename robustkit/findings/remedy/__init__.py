"""What would help: each remedy on the same images, by accuracy, complete search, accidents and cost."""
