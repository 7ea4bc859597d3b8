"""Input stages: each turns one source into one table of the snapshot."""
