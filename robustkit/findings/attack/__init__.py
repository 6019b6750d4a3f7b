"""The one-pixel attack: searches propose, an evaluator scores, and every flip is proved before it counts."""
