//! Signals as numbers and names, and which of them an init passes on. It makes no system call.
//!
//! The numbers are Linux's on every architecture but MIPS, SPARC, Alpha and PA-RISC (`man 7 signal`). Real-time signals are
//! plain numbers here. Most signal enums leave them out, and an init cannot pass on a signal that it cannot represent: that is
//! why this type exists.

use std::fmt;
use std::mem;
use std::str::FromStr;

/// A signal number from 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

/// The first real-time signal that a program may use. The C libraries keep 32 and 33 (and musl 34) for themselves; names count
/// from glibc's 34 (`man 7 signal`, "Real-time signals").
const RTMIN: u8 = 34;
const RTMAX: u8 = 64;

/// The number and name of each classic signal. An alias comes after the name that is printed.
const NAMES: &[(u8, &str)] = &[
    (1, "HUP"),
    (2, "INT"),
    (3, "QUIT"),
    (4, "ILL"),
    (5, "TRAP"),
    (6, "ABRT"),
    (6, "IOT"),
    (7, "BUS"),
    (8, "FPE"),
    (9, "KILL"),
    (10, "USR1"),
    (11, "SEGV"),
    (12, "USR2"),
    (13, "PIPE"),
    (14, "ALRM"),
    (15, "TERM"),
    (16, "STKFLT"),
    (17, "CHLD"),
    (17, "CLD"),
    (18, "CONT"),
    (19, "STOP"),
    (20, "TSTP"),
    (21, "TTIN"),
    (22, "TTOU"),
    (23, "URG"),
    (24, "XCPU"),
    (25, "XFSZ"),
    (26, "VTALRM"),
    (27, "PROF"),
    (28, "WINCH"),
    (29, "IO"),
    (29, "POLL"),
    (30, "PWR"),
    (31, "SYS"),
    (31, "UNUSED"),
];

impl Signal {
    /// Hang-up. Many servers reload their configuration on it.
    pub const HUP: Self = Self(1);
    /// The terminal's Ctrl-C.
    pub const INT: Self = Self(2);
    /// The terminal's Ctrl-\; nginx's and php-fpm's graceful stop; a JVM's thread dump.
    pub const QUIT: Self = Self(3);
    /// Ends a process with a core dump, by default.
    pub const ABRT: Self = Self(6);
    /// Ends a process. It cannot be caught.
    pub const KILL: Self = Self(9);
    /// The first signal without a fixed meaning.
    pub const USR1: Self = Self(10);
    /// The second signal without a fixed meaning.
    pub const USR2: Self = Self(12);
    /// A write to a pipe without a reader.
    pub const PIPE: Self = Self(13);
    /// A timer has run out.
    pub const ALRM: Self = Self(14);
    /// The signal by which a platform stops a container, unless the image sets another.
    pub const TERM: Self = Self(15);
    /// A child has changed its state.
    pub const CHLD: Self = Self(17);
    /// Continues a stopped process.
    pub const CONT: Self = Self(18);
    /// Stops a process until `SIGCONT`. It cannot be caught.
    pub const STOP: Self = Self(19);
    /// The terminal's Ctrl-Z.
    pub const TSTP: Self = Self(20);
    /// A background process has read from the terminal.
    pub const TTIN: Self = Self(21);
    /// A background process has written to the terminal.
    pub const TTOU: Self = Self(22);
    /// The limit on CPU time is exceeded.
    pub const XCPU: Self = Self(24);
    /// The terminal has a new size; httpd's graceful stop.
    pub const WINCH: Self = Self(28);

    /// The signal with this number. `None`: there is none.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        match u8::try_from(number) {
            Ok(number @ 1..=RTMAX) => Some(Self(number)),
            _ => None,
        }
    }

    /// The `n`-th real-time signal, `SIGRTMIN+n`.
    ///
    /// # Panics
    ///
    /// If `n` is above 30. In a constant the compiler reports it.
    #[must_use]
    pub const fn realtime(n: u8) -> Self {
        assert!(n <= RTMAX - RTMIN, "there are 31 real-time signals");
        Self(RTMIN + n)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }

    /// All 64 signals.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=RTMAX).map(Self)
    }

    /// Whether a process may catch, block or ignore it (`man 7 signal`).
    #[must_use]
    pub fn is_catchable(self) -> bool {
        self != Self::KILL && self != Self::STOP
    }

    /// Whether it concerns the init itself: a child's change of state, or a fault in our own code. By default such a signal is
    /// not passed on, and it cannot be a stop request.
    #[must_use]
    pub fn is_our_own(self) -> bool {
        // ILL, TRAP, ABRT, BUS, FPE, SEGV, CHLD, SYS
        matches!(self.0, 4 | 5 | 6 | 7 | 8 | 11 | 17 | 31)
    }

    /// Whether it is passed on to the app by default. `SIGTTIN` and `SIGTTOU` are not: they mean that *we* are in the
    /// background, which does not concern the app.
    #[must_use]
    pub fn is_forwarded(self) -> bool {
        self.is_catchable() && !self.is_our_own() && self != Self::TTIN && self != Self::TTOU
    }

    /// The names of the classic signals.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|&(_, name)| name)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, name)) = NAMES.iter().find(|&&(number, _)| number == self.0) {
            return write!(f, "SIG{name}");
        }
        match self.0 {
            RTMAX => f.write_str("SIGRTMAX"),
            RTMIN => f.write_str("SIGRTMIN"),
            number if number > RTMIN => write!(f, "SIGRTMIN+{}", number - RTMIN),
            number => write!(f, "signal {number}"), // 32 and 33, which the C library keeps for itself
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The error for a word that is not a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownSignal;

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Reads `TERM`, `SIGTERM`, `sigterm`, `15`, `RTMIN+3`, `SIGRTMAX-1` or `37`.
    fn from_str(word: &str) -> Result<Self, UnknownSignal> {
        let word = word.trim().to_ascii_uppercase();
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            let number = word.parse().map_err(|_| UnknownSignal)?;
            return Self::from_number(number).ok_or(UnknownSignal);
        }
        let name = word.strip_prefix("SIG").unwrap_or(&word);
        if let Some(&(number, _)) = NAMES.iter().find(|&&(_, known)| known == name) {
            return Ok(Self(number));
        }
        let number = if let Some(offset) = name.strip_prefix("RTMIN") {
            RTMIN.checked_add(read_offset(offset, '+')?)
        } else if let Some(offset) = name.strip_prefix("RTMAX") {
            RTMAX.checked_sub(read_offset(offset, '-')?)
        } else {
            None
        };
        match number {
            Some(number @ RTMIN..=RTMAX) => Ok(Self(number)),
            _ => Err(UnknownSignal),
        }
    }
}

/// Reads what follows `RTMIN` or `RTMAX`: nothing, or the sign and a number.
fn read_offset(text: &str, sign: char) -> Result<u8, UnknownSignal> {
    if text.is_empty() {
        return Ok(0);
    }
    let digits = text.strip_prefix(sign).ok_or(UnknownSignal)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(UnknownSignal); // `parse` would accept a second sign
    }
    digits.parse().map_err(|_| UnknownSignal)
}

/// A set of signals.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SignalSet(u64);

impl SignalSet {
    /// The set in the kernel's form: bit n-1 stands for signal n.
    #[must_use]
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// The set in the kernel's form: bit n-1 stands for signal n.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether the signal is in the set.
    #[must_use]
    pub fn contains(self, signal: Signal) -> bool {
        self.0 & Self::from(signal).0 != 0
    }

    /// The set and one more signal.
    #[must_use]
    pub fn with(self, signal: Signal) -> Self {
        Self(self.0 | Self::from(signal).0)
    }

    /// The set without the signals of another one.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The signals of the set, in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::all().filter(move |&signal| self.contains(signal))
    }
}

impl From<Signal> for SignalSet {
    fn from(signal: Signal) -> Self {
        Self(1 << (signal.0 - 1))
    }
}

impl FromIterator<Signal> for SignalSet {
    fn from_iter<I: IntoIterator<Item = Signal>>(signals: I) -> Self {
        Self(signals.into_iter().fold(0, |bits, signal| bits | Self::from(signal).0))
    }
}

impl fmt::Display for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, signal) in self.iter().enumerate() {
            write!(f, "{}{signal}", if i == 0 { "" } else { "," })?;
        }
        Ok(())
    }
}

impl fmt::Debug for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A value for each of some signals, in the order of their numbers. It has a handful of entries, so it is a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalMap<T>(Vec<(Signal, T)>);

impl<T> SignalMap<T> {
    /// The signal's value.
    #[must_use]
    pub fn get(&self, signal: Signal) -> Option<&T> {
        self.iter().find(|&(known, _)| known == signal).map(|(_, value)| value)
    }

    /// Sets the signal's value, and returns the one that it had.
    pub fn insert(&mut self, signal: Signal, value: T) -> Option<T> {
        if let Some((_, old)) = self.0.iter_mut().find(|(known, _)| *known == signal) {
            return Some(mem::replace(old, value));
        }
        self.0.insert(self.0.partition_point(|&(known, _)| known < signal), (signal, value));
        None
    }

    /// Keeps only the entries for which `keep` is true.
    pub fn retain(&mut self, keep: impl Fn(Signal, &T) -> bool) {
        self.0.retain(|(signal, value)| keep(*signal, value));
    }

    /// The signals and their values, in the order of the signals' numbers.
    pub fn iter(&self) -> impl Iterator<Item = (Signal, &T)> {
        self.0.iter().map(|(signal, value)| (*signal, value))
    }
}

impl<T> Default for SignalMap<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> FromIterator<(Signal, T)> for SignalMap<T> {
    /// If a signal comes twice, its last value counts.
    fn from_iter<I: IntoIterator<Item = (Signal, T)>>(entries: I) -> Self {
        let mut map = Self::default();
        for (signal, value) in entries {
            map.insert(signal, value);
        }
        map
    }
}

impl<T> IntoIterator for SignalMap<T> {
    type Item = (Signal, T);
    type IntoIter = std::vec::IntoIter<(Signal, T)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Who sent a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The kernel: a terminal's key or resize, a timer.
    Kernel,
    /// The process with this pid.
    Process(i32),
    /// A process outside our PID namespace: the container engine, the kubelet, a person on the host.
    Outside,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kernel => f.write_str("from the kernel"),
            Self::Process(pid) => write!(f, "from pid {pid}"),
            Self::Outside => f.write_str("from outside the container"),
        }
    }
}

/// What a setting rewrites a signal to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// The app is sent this one instead.
    To(Signal),
    /// The app is sent nothing.
    Ignore,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_signals_name_is_read() {
        for (word, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigterm", 15),
            ("15", 15),
            ("RTMIN", 34),
            ("RTMIN+3", 37),
            ("SIGRTMAX-1", 63),
            ("sigrtmax", 64),
            ("37", 37),
            ("IOT", 6),
            ("POLL", 29),
            ("64", 64),
        ] {
            assert_eq!(word.parse::<Signal>().map(Signal::number), Ok(number), "{word}");
        }
    }

    #[test]
    fn a_word_that_is_no_signal_is_refused() {
        for word in [
            "", "SIG", "TREM", "0", "65", "-1", "1e1", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMAX-31", "RTMIN++1",
            "RTMIN+",
        ] {
            assert_eq!(word.parse::<Signal>(), Err(UnknownSignal), "{word:?}");
        }
    }

    #[test]
    fn what_is_printed_can_be_read_back() {
        for signal in Signal::all().filter(|s| !matches!(s.number(), 32 | 33)) {
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
    }

    #[test]
    fn all_but_twelve_signals_are_forwarded() {
        let kept: Vec<i32> = Signal::all().filter(|s| !s.is_forwarded()).map(Signal::number).collect();
        assert_eq!(kept, [4, 5, 6, 7, 8, 9, 11, 17, 19, 21, 22, 31]);
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: SignalSet = [Signal::TERM, Signal::realtime(30)].into_iter().collect();
        assert_eq!(set.bits(), 1 << 14 | 1 << 63);
        assert_eq!(set.to_string(), "SIGTERM,SIGRTMAX");
        assert!(!set.without(Signal::TERM.into()).contains(Signal::TERM));
    }

    #[test]
    fn a_map_is_in_the_order_of_the_signals_and_the_last_value_counts() {
        let map = SignalMap::from_iter([(Signal::TERM, 1), (Signal::HUP, 2), (Signal::WINCH, 3), (Signal::TERM, 4)]);
        let entries: Vec<_> = map.iter().map(|(signal, &value)| (signal, value)).collect();
        assert_eq!(entries, [(Signal::HUP, 2), (Signal::TERM, 4), (Signal::WINCH, 3)]);
        assert_eq!((map.get(Signal::TERM), map.get(Signal::INT)), (Some(&4), None));
    }
}
