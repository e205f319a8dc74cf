//! The log: which lines are written, and their format. It is written to stderr; only the app writes to stdout.

use std::io::Write;
use std::time::SystemTime;

use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Record};

use crate::log_style::LogStyle;
use crate::report::STOP;
use crate::settings::{LogFormat, Settings};

/// Starts the log. `output` takes one line at a time.
pub fn start(settings: &Settings, style: LogStyle, output: impl Write + Send + 'static) {
    let format = settings.log_format.value;
    let mut builder = Builder::new();
    match settings.log.value {
        Some(level) => builder.filter_level(level),
        None => builder.filter_level(LevelFilter::Warn).filter_module(STOP, LevelFilter::Info),
    };
    builder.format(move |out, record: &Record<'_>| {
        out.write_all(line(format, style, record.level(), &record.args().to_string()).as_bytes())
    });
    let _ = builder.target(Target::Pipe(Box::new(output))).try_init(); // only a test starts it twice
}

/// The line that says how many lines were lost.
#[must_use]
pub fn loss_line(format: LogFormat, style: LogStyle, lost: u64) -> String {
    let lines = if lost == 1 { "line was" } else { "lines were" };
    line(format, style, Level::Warn, &format!("{lost} log {lines} lost: stderr was full"))
}

/// A line of the log.
#[must_use]
pub fn line(format: LogFormat, style: LogStyle, level: Level, message: &str) -> String {
    match format {
        LogFormat::Text => (style.line)(level, message),
        LogFormat::Json => json_line(level, message),
    }
}

fn json_line(level: Level, message: &str) -> String {
    let time = humantime::format_rfc3339_millis(SystemTime::now());
    let level = level.as_str().to_ascii_lowercase();
    format!("{{\"time\":\"{time}\",\"level\":\"{level}\",\"message\":\"{}\"}}\n", json_escape(message))
}

fn json_escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            c if c.is_control() => escaped.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_json_line_survives_quotes_and_line_breaks() {
        assert_eq!(json_escape("a \"b\"\\\n"), "a \\\"b\\\"\\\\\\u000a");
    }
}
