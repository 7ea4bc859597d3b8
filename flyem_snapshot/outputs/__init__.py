"""Output stages: each turns tables of the snapshot into files."""
