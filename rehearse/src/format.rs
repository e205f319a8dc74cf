//! Numbers and text in the form in which they are shown.

use std::time::Duration;

use crate::duration::one_word;

/// A count as a float. It is exact up to 2^53, which no rehearsal reaches.
#[expect(clippy::cast_precision_loss, reason = "see above")]
pub(crate) fn real(count: u64) -> f64 {
    count as f64
}

/// `5,020`
pub(crate) fn count(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `1 request`, `5,020 requests`
pub(crate) fn counted(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Milliseconds for a column: `0.4`, `12`, `3,104`.
pub(crate) fn milliseconds(value: f64) -> String {
    if value < 9.95 { format!("{value:.1}") } else { count(whole(value)) }
}

/// `0.4 ms`, `12 ms`, `3.1 s`, `15 s`
pub(crate) fn latency(value_ms: f64) -> String {
    if value_ms < 999.5 {
        format!("{} ms", milliseconds(value_ms))
    } else if value_ms < 9_950.0 {
        format!("{:.1} s", value_ms / 1000.0)
    } else {
        format!("{} s", count(whole(value_ms / 1000.0)))
    }
}

/// The value of a setting as the command line takes it: `500ms`, `3s`.
pub(crate) fn setting_value(seconds: f64) -> String {
    // Only a file from elsewhere has another number.
    Duration::try_from_secs_f64(seconds).map_or_else(|_| format!("{seconds}s"), one_word)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a cast of a float saturates")]
fn whole(value: f64) -> u64 {
    value.round() as u64
}

/// Makes foreign text (a log line, a command) safe for a report and a terminal: control characters are replaced, by their
/// symbols where Unicode has one.
pub(crate) fn printable(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            '\t' => ' ',
            '\0'..='\x1f' => char::from_u32(0x2400 + u32::from(letter)).unwrap_or('\u{fffd}'),
            '\x7f' => '\u{2421}',
            // C1 controls, bidirectional controls, and what XML forbids.
            '\u{80}'..='\u{9f}'
            | '\u{200e}'
            | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{fffe}'
            | '\u{ffff}' => '\u{fffd}',
            _ => letter,
        })
        .collect()
}

/// Escapes text for XML and HTML, in an element or in an attribute with double quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in printable(text).chars() {
        match letter {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\'' => safe += "&#39;",
            _ => safe.push(letter),
        }
    }
    safe
}

/// At most so many letters of a text, with an ellipsis where it was cut.
pub(crate) fn truncated(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}

/// `tini`, `tini and softstop`, `tini; nginx, bare; and softstop`
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        [first @ .., last] => format!("{}; and {last}", first.join("; ")),
    }
}

/// The last line that is not empty.
pub(crate) fn last_line(text: &str) -> Option<&str> {
    text.lines().map(str::trim).rfind(|line| !line.is_empty())
}

/// The sentence with a capital letter.
pub(crate) fn capitalized(sentence: &str) -> String {
    let mut letters = sentence.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!([0, 999, 1000, 5020, 1_234_567].map(count), ["0", "999", "1,000", "5,020", "1,234,567"]);
        assert_eq!([0.04, 9.94, 9.96, 3104.2].map(milliseconds), ["0.0", "9.9", "10", "3,104"]);
        assert_eq!([0.4, 12.0, 999.4, 3104.0, 15_000.0].map(latency), ["0.4 ms", "12 ms", "999 ms", "3.1 s", "15 s"]);
        assert_eq!([0.0, 3.0, 0.5, 1.5].map(setting_value), ["0s", "3s", "500ms", "1s500ms"]);
    }

    #[test]
    fn characters_that_control_a_terminal_or_break_xml_are_replaced() {
        assert_eq!(printable("a\x1b[31mb\0\r\n\u{85}\u{202e}\u{ffff}é✓"), "a␛[31mb␀␍␊\u{fffd}\u{fffd}\u{fffd}é✓");
    }
}
