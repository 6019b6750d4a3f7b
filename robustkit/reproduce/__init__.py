"""Papers redone by one command: their data made or opened, their models trained, their tables laid beside ours."""
