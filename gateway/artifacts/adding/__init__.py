"""`gateway models add`: a repository on the hub read, understood or refused, and made a model folder."""
