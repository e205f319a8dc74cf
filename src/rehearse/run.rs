//! `rehearse run`: load around a person's own roll-out.

use crate::Failure;
use crate::cli::Run;

pub(crate) async fn run(arguments: Run) -> Result<u8, Failure> {
    let _ = arguments;
    todo!()
}
