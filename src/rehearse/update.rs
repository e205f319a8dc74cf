//! One rolling update: every pod replaced, one after the other.
