"""Small pretrained models, as data: runs.py finds them."""
