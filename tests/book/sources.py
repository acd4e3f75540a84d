"""The beginning of a chapter's source, which tests go on from."""

HEAD = """---
jupytext:
  text_representation:
    extension: .md
    format_name: myst
kernelspec:
  display_name: Python 3
  language: python
  name: python3
jepascope:
  reads: []
---

# One
"""
MEAN = """
The mean is {glue:text}`mean:.2f`.
"""
PARAMETERS = """
```{code-cell} python
:tags: [parameters]

profile = "ci"  # params/<profile>.yaml
seed = 0
sae = None
```
"""
