"""Other people's files to systems, and back."""
