"""A finished neuPrint folder into Neo4j: the importer's command, the runtimes, and what they leave behind."""
