//! Orders: shard databases, leases, the worker and the client of web.
