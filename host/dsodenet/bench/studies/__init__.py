"""Studies: each answers one question with a table or a figure of the documents."""

from dsodenet.bench.studies.catalogue import STUDIES

__all__ = ["STUDIES"]
