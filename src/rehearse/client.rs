//! One request from its connection to its verdict.
