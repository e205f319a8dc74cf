//! `rehearse compare`: two results beside each other.

use crate::Failure;
use crate::cli::Compare;

pub(crate) fn compare(arguments: &Compare) -> Result<u8, Failure> {
    let _ = arguments;
    todo!()
}
