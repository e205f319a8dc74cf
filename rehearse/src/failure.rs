//! How the program ends: the exit code, and the sentence that it prints.

/// At least one request was lost.
pub(crate) const LOST: u8 = 1;
/// Wrong usage.
const WRONG_USAGE: u8 = 2;
/// No conclusion is possible: the command failed, or the measurement is incomplete.
pub(crate) const NOT_MEASURED: u8 = 3;

/// One sentence, and the exit code that goes with it.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) sentence: String,
}

impl Failure {
    pub(crate) fn usage(sentence: impl Into<String>) -> Self {
        Self { code: WRONG_USAGE, sentence: sentence.into() }
    }

    pub(crate) fn not_measured(sentence: impl Into<String>) -> Self {
        Self { code: NOT_MEASURED, sentence: sentence.into() }
    }
}
