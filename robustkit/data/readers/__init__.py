"""Readers: one file a format. Each finds what a source holds (`Found`); `assemble` makes an `ImageSet` of it.

Every choice that a reader makes for the user becomes a note; what it cannot know, it refuses with what to say.
"""
