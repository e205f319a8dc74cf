//! What softstop does otherwise than the init whose name it has, on purpose, with the reason. The README's table is this
//! list; a difference that is not on it fails the matrix, and so does one on it that does not occur.

use super::matrix::Difference;

pub(crate) const DIFFERENCES: &[Difference] = &[];
