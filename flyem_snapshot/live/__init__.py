"""Work on a neuPrint server that is in use: newer annotations into its database, and its log into tables."""
