//! The tell-tale lines in the servers' own logs.
