//! `rehearse local`: the experiment on this machine.

use crate::Failure;
use crate::cli::Local;

pub(crate) async fn local(arguments: Local) -> Result<u8, Failure> {
    let _ = arguments;
    todo!()
}
