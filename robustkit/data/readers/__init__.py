"""Readers, one file per format. Each finds what a source holds (`Found`); `assemble` builds an `ImageSet` from it.

Every choice that a reader makes for the user becomes a note; what it cannot decide, it refuses, and names the option
that decides it.
"""
