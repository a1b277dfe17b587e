"""`flight-sql-srv`: the Flight SQL protocol over pyarrow.flight, in front of an engine that only reads."""
