//! What a log line looks like, and which are written. They go to stderr, never to stdout, which is the app's alone.

use std::io::Write;
use std::os::fd::RawFd;
use std::time::SystemTime;

use env_logger::{Builder, Target};
use log::{Level, LevelFilter, Record};

use crate::report::STOP;
use crate::settings::{LogFormat, Settings};
use crate::sys::log_pipe::LogPipe;
use crate::voice::Voice;

/// Starts the log, and says which descriptor it opened, if one.
#[must_use]
pub fn start(settings: &Settings, voice: Voice) -> Option<RawFd> {
    let format = settings.log_format.value;
    let tell_loss = |lost| format!("{lost} log lines were lost: stderr took no more");
    let pipe = LogPipe::open(move |lost| line(format, voice, Level::Warn, &tell_loss(lost)));
    let descriptor = pipe.descriptor();
    let mut builder = Builder::new();
    match settings.log.value {
        Some(level) => builder.filter_level(level),
        None => builder.filter_level(LevelFilter::Warn).filter_module(STOP, LevelFilter::Info),
    };
    builder.format(move |out, record: &Record<'_>| {
        out.write_all(line(format, voice, record.level(), &record.args().to_string()).as_bytes())
    });
    // A second start can only be a test's: it keeps the first one's log.
    let _ = builder.target(Target::Pipe(Box::new(pipe))).try_init();
    descriptor
}

/// A line of the log.
#[must_use]
pub fn line(format: LogFormat, voice: Voice, level: Level, message: &str) -> String {
    match format {
        LogFormat::Text => (voice.line)(level, message),
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
