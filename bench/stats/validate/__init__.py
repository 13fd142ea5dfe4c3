"""How often is the judge wrong? A seeded simulation study of the whole method with known truths.

`nox -s validate` runs it and checks every figure against its bound; `-- --write` puts the tables and the
figure into docs/validation.md. The judge uses nothing from here.
"""
