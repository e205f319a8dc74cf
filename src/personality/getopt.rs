//! `getopt_long(3)` as the other inits use it, with glibc's error messages. The first word that is not an option begins the
//! command, as POSIX demands; by default glibc's function would look for options among the command's arguments too.

use std::ffi::{OsStr, OsString};

use clap_lex::{ParsedArg, RawArgs};

/// The options of an init: each letter, whether a value follows it, and its long name, if it has one.
pub(super) type Options = &'static [(char, bool, Option<&'static str>)];

/// An option that was found, with its value.
pub(super) type Found = (char, Option<OsString>);

/// Reads a command line. Returns the options before the first error, and the command or the error message.
pub(super) fn read(arguments: &[OsString], known: Options) -> (Vec<Found>, Result<Vec<OsString>, String>) {
    let called = arguments.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut reader = Reader { words: RawArgs::new(arguments.iter().skip(1)), known, called, found: Vec::new() };
    let rest = reader.read();
    (reader.found, rest)
}

struct Reader {
    words: RawArgs,
    known: Options,
    /// How the init was called. Error messages begin with it.
    called: String,
    found: Vec<Found>,
}

impl Reader {
    fn read(&mut self) -> Result<Vec<OsString>, String> {
        let words = self.words.clone();
        let mut cursor = words.cursor();
        while let Some(word) = words.peek(&cursor) {
            if word.is_escape() {
                words.next(&mut cursor);
                break;
            }
            if !word.is_long() && !word.is_short() {
                break;
            }
            words.next(&mut cursor);
            let mut next = || words.next_os(&mut cursor).map(OsStr::to_owned);
            let has_long = self.known.iter().any(|(.., long)| long.is_some());
            if word.is_long() && has_long { self.long(&word, &mut next)? } else { self.short(&word, &mut next)? }
        }
        Ok(words.remaining(&mut cursor).map(OsStr::to_owned).collect())
    }

    fn short(&mut self, word: &ParsedArg<'_>, next: &mut dyn FnMut() -> Option<OsString>) -> Result<(), String> {
        // For an init without long options `--word` is the unknown letter `-`.
        let Some(mut letters) = word.to_short() else { return Err(self.message("invalid option -- '-'")) };
        while let Some(letter) = letters.next_flag() {
            let Some(&(letter, takes_value, _)) =
                self.known.iter().find(|(known, ..)| letter.is_ok_and(|letter| letter == *known))
            else {
                let letter = letter.map_or_else(|rest| rest.to_string_lossy().into_owned(), String::from);
                return Err(self.message(&format!("invalid option -- '{letter}'")));
            };
            let value = if takes_value {
                let value = letters.next_value_os().map(OsStr::to_owned).or_else(&mut *next);
                let missing = || self.message(&format!("option requires an argument -- '{letter}'"));
                Some(value.ok_or_else(missing)?)
            } else {
                None
            };
            self.found.push((letter, value));
        }
        Ok(())
    }

    fn long(&mut self, word: &ParsedArg<'_>, next: &mut dyn FnMut() -> Option<OsString>) -> Result<(), String> {
        let typed = word.display().to_string();
        let Some((name, attached)) = word.to_long() else { return Err(self.message("invalid option")) };
        let unknown = || self.message(&format!("unrecognized option '{typed}'"));
        let name = name.map_err(|_| unknown())?;
        let long =
            |&(letter, takes_value, long): &(char, bool, Option<&'static str>)| Some((letter, takes_value, long?));
        let candidates: Vec<_> =
            self.known.iter().filter_map(long).filter(|(.., long)| long.starts_with(name)).collect();
        let exact = candidates.iter().find(|(.., long)| *long == name);
        let &(letter, takes_value, long) = match (exact, candidates.as_slice()) {
            (Some(exact), _) => exact,
            (None, [only]) => only,
            (None, []) => return Err(unknown()),
            (None, several) => {
                let names: Vec<String> = several.iter().map(|(.., long)| format!("'--{long}'")).collect();
                let names = names.join(" ");
                return Err(self.message(&format!("option '{typed}' is ambiguous; possibilities: {names}")));
            }
        };
        let value = match (takes_value, attached) {
            (false, None) => None,
            (false, Some(_)) => return Err(self.message(&format!("option '--{long}' doesn't allow an argument"))),
            (true, Some(value)) => Some(value.to_owned()),
            (true, None) => {
                let missing = || self.message(&format!("option '--{long}' requires an argument"));
                Some(next().ok_or_else(missing)?)
            }
        };
        self.found.push((letter, value));
        Ok(())
    }

    fn message(&self, what: &str) -> String {
        format!("{}: {what}\n", self.called)
    }
}
