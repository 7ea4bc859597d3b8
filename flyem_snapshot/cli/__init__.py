"""The commands that a user types.  Nothing heavy is imported before their arguments are parsed."""
