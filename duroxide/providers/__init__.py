"""Storage for orchestrations: the contract, and the provider for SQLite and Postgres."""
