//! The verdict on a request: whether it was answered, and if not, how it was lost.

use serde::{Deserialize, Serialize};

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Verdict {
    /// The expected status, and the whole expected body.
    #[serde(rename = "answered")]
    Answered,
    /// A status of 500 or more.
    #[serde(rename = "5xx")]
    ServerError,
    /// No connection could be made: refused, unreachable, or TLS failed.
    #[serde(rename = "refused")]
    Refused,
    /// The connection or stream ended before the whole answer had arrived.
    #[serde(rename = "cut off")]
    CutOff,
    /// A whole answer with another status or body than expected.
    #[serde(rename = "wrong answer")]
    WrongAnswer,
    /// No whole answer in time.
    #[serde(rename = "timed out")]
    TimedOut,
    /// The generator itself could not send the request, for lack of descriptors, ports or places in flight. This counts neither
    /// as answered nor as lost.
    #[serde(rename = "not sent")]
    NotSent,
}

impl Verdict {
    pub(crate) const ALL: [Self; 7] = [
        Self::Answered,
        Self::ServerError,
        Self::Refused,
        Self::CutOff,
        Self::WrongAnswer,
        Self::TimedOut,
        Self::NotSent,
    ];

    /// Whether the client lost its request.
    pub(crate) fn is_lost(self) -> bool {
        match self {
            Self::Answered | Self::NotSent => false,
            Self::ServerError | Self::Refused | Self::CutOff | Self::WrongAnswer | Self::TimedOut => true,
        }
    }

    /// The verdicts that count as lost.
    pub(crate) fn lost() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|verdict| verdict.is_lost())
    }

    /// The name in tables, charts and messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::ServerError => "5xx",
            Self::Refused => "refused",
            Self::CutOff => "cut off",
            Self::WrongAnswer => "wrong answer",
            Self::TimedOut => "timed out",
            Self::NotSent => "not sent",
        }
    }
}

/// How many requests had each verdict.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct VerdictCounts([u64; Verdict::ALL.len()]);

impl VerdictCounts {
    pub(crate) fn add(&mut self, verdict: Verdict) {
        for (count, each) in self.0.iter_mut().zip(Verdict::ALL) {
            *count += u64::from(each == verdict);
        }
    }

    pub(crate) fn of(&self, verdict: Verdict) -> u64 {
        self.0.iter().zip(Verdict::ALL).filter(|(_, each)| *each == verdict).map(|(count, _)| count).sum()
    }
}
