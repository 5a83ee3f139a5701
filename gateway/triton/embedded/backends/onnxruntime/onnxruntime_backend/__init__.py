"""What `model.py` beside this folder is made of; Triton puts that folder on its stub's path."""
