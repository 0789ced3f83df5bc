//! Products: import, the sample, the stored catalogue, and search in memory.
