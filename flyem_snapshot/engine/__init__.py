"""The out-of-core machinery: DuckDB session, SQL quoting, streams of record batches, atomic files."""
