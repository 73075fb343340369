"""Studies: each prints one table or figure of the documents."""
