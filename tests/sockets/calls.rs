//! Calls: what the kernel remembers of them, and what is none.

use super::*;
