"""Findings: what an audit measures, one folder each.

A finding's folder holds its *record* (what is asked for and what is found: no torch), *measure* (from a classifier and
images to the record), *summary* (the record in numbers) and *show* (drawings, files and sections of the page).
"""
