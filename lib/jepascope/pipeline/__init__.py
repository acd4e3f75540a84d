"""The expensive steps of the chapters: each a function from folders and parameters to one folder.

A room a chapter, and one module a step, so that a change of the library remakes what uses it and nothing else.
"""
