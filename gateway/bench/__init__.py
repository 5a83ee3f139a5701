"""`gateway bench`: what the machine can do, what the gateway hands on of it, and how others do, in one run."""
