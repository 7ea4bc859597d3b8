"""The neuPrint bridge: answers what neuPrint's clients ask over HTTP from a Neo4j database over Bolt, read-only."""
