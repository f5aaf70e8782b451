"""The SQL. Each function takes a connection inside a transaction."""
