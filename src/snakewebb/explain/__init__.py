"""Products explained from their records: why one is as it is, and what differs between two."""
