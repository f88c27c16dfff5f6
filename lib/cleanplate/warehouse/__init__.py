"""The Delta tables, the ledger and the object store."""
