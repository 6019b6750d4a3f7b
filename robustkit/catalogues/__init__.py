"""Catalogues: what a classifier says of every object of a survey, labelled or not, joined by id."""
