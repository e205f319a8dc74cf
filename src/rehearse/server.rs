//! The small server that stands in for nginx where it is missing.

use crate::Failure;
use crate::cli::Serve;

pub(crate) async fn serve(arguments: Serve) -> Result<u8, Failure> {
    let _ = arguments;
    todo!()
}
