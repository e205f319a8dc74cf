//! The words of a command line: names, titles and options.

use std::ffi::OsStr;

pub(super) type Words = Vec<String>;

/// The kernel keeps this many bytes of a program's name (`TASK_COMM_LEN`, less the zero byte).
pub(super) const COMM_LENGTH: usize = 15;

/// The words as text. Bytes that are not UTF-8 are replaced: no name in a table has any.
pub(super) fn words<S: AsRef<OsStr>>(words: &[S]) -> Words {
    words.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect()
}

/// The last part of a path.
pub(super) fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A name without a version at its end: `php-fpm8.2`, `python3`, and squid's `(squid-1)`.
pub(super) fn unversioned(name: &str) -> &str {
    let name = name.trim_start_matches('(').trim_end_matches(')');
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-')
}

/// The `comm` of a program with this name.
pub(super) fn comm_of(name: &str) -> &str {
    name.get(..COMM_LENGTH).unwrap_or(name)
}

pub(super) fn command_at(words: &[String], at: usize) -> Option<Words> {
    words.get(at..).filter(|inner| !inner.is_empty()).map(<[String]>::to_vec)
}

/// Where a command's options end.
pub(super) enum End<'a> {
    /// At the first operand: the index where it is, or where the words end.
    Operand(usize),
    /// At an option that ends them (`!`): its letter, its value, and the index of the word that follows.
    Value(char, &'a str, usize),
}

/// Reads options as getopt(3) does. `short` lists the letters, `long` the names. A `:` after one means that it takes a value, a
/// `!` that it takes a value and ends the options. `*` and `*:` stand for every other long name. `None`: an option is unknown,
/// or its value is missing.
pub(super) fn options<'a>(words: &'a [String], mut at: usize, short: &str, long: &str) -> Option<End<'a>> {
    while let Some(word) = words.get(at) {
        let Some(option) = word.strip_prefix('-').filter(|option| !option.is_empty()) else { break };
        at += 1;
        if option == "-" {
            break;
        }
        if let Some(option) = option.strip_prefix('-') {
            let (name, value) = option.split_once('=').map_or((option, None), |(name, value)| (name, Some(value)));
            let kind = |known: &str| {
                let mut kinds = long.split(' ').filter_map(|long| long.strip_prefix(known));
                kinds.find(|kind| matches!(*kind, "" | ":" | "!"))
            };
            let kind = kind(name).or_else(|| kind("*"))?;
            if kind.is_empty() {
                continue;
            }
            let value = if let Some(value) = value {
                value
            } else {
                at += 1;
                words.get(at - 1)?
            };
            if kind == "!" {
                return Some(End::Value(name.chars().next()?, value, at));
            }
            continue;
        }
        for (index, letter) in option.char_indices() {
            let kind =
                short.split_once(letter).filter(|_| letter.is_ascii_alphanumeric() || letter == '/')?.1.chars().next();
            if !matches!(kind, Some(':' | '!')) {
                continue;
            }
            let joined = option.get(index + letter.len_utf8()..).filter(|value| !value.is_empty());
            let value = if let Some(value) = joined {
                value
            } else {
                at += 1;
                words.get(at - 1)?
            };
            if kind == Some('!') {
                return Some(End::Value(letter, value, at));
            }
            break;
        }
    }
    Some(End::Operand(at))
}

/// The title that a process has written over its arguments (setproctitle): a single word that contains spaces.
pub(super) fn title(words: &[String]) -> Option<&str> {
    let (title, rest) = words.split_first()?;
    (title.contains(' ') && rest.iter().all(String::is_empty)).then_some(title)
}

/// The program's name at the beginning of a title: `nginx: master process`, `redis-server *:6379`,
/// `[celeryd: celery@host:MainProcess]`.
pub(super) fn head(title: &str) -> &str {
    base(title.trim_start_matches('[').split([' ', ':']).next().unwrap_or(title))
}
