"""From a checkpoint on disk to a run folder: what the commands do, for use from Python too."""
