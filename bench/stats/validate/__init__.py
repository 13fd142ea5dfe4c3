"""How often is the judge wrong? A seeded simulation study of the whole method under known truths.

`nox -s validate` runs it and holds every figure to its bound; `-- --write` puts its tables and its figure
into docs/validation.md. Nothing here is used by the judge.
"""
