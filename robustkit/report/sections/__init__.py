"""The sections of a report, one a file: numbers, a table, and two drawings of the same numbers."""
