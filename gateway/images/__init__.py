"""Images as models read them: fetched from where strangers say they are, checked, and decoded out of harm's way."""
