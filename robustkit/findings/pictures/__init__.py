"""Pictures of the images of an audit, so that its page can be drawn again without the data."""
