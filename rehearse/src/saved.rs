//! `rehearsal.json`: the raw figures, written and read again.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::Failure;
use crate::figures::{FORM, Rehearsal};

/// The figures as a text that people can read and `diff` too.
pub(crate) fn json(rehearsal: &Rehearsal) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let form = Rows { pretty: PrettyFormatter::new(), within: Vec::new() };
    rehearsal.serialize(&mut serde_json::Serializer::with_formatter(&mut text, form))?;
    text.push(b'\n');
    Ok(text)
}

/// Reads what [`json`] wrote.
///
/// # Errors
///
/// There is no such file, it is something else, or it has a form that this program does not know.
pub(crate) fn read(file: &Path) -> Result<Rehearsal, Failure> {
    /// All that every form has.
    #[derive(Deserialize)]
    struct Any {
        form: u32,
    }
    let named = file.display();
    let text = fs::read(file).map_err(|error| Failure::usage(format!("cannot read {named}: {error}")))?;
    let none = |error: &serde_json::Error| Failure::usage(format!("{named} is no rehearsal.json: {error}"));
    let Any { form } = serde_json::from_slice(&text).map_err(|error| none(&error))?;
    if form != FORM {
        let sentence = format!("{named} has form {form}; this softstop-rehearse reads form {FORM} only");
        return Err(Failure::usage(sentence));
    }
    let rehearsal: Rehearsal = serde_json::from_slice(&text).map_err(|error| none(&error))?;
    match &rehearsal.sweep {
        Some(sweep) if sweep.values.len() != rehearsal.runs.len() => Err(Failure::usage(format!(
            "{named} is no rehearsal.json: its sweep has {} values for {} runs",
            sweep.values.len(),
            rehearsal.runs.len()
        ))),
        _ => Ok(rehearsal),
    }
}

/// As [`PrettyFormatter`], but an array within an array, a request, is one line: a file of 5,000 requests shall not have
/// 45,000 lines.
struct Rows {
    pretty: PrettyFormatter<'static>,
    /// What encloses the next value: an array?
    within: Vec<bool>,
}

impl Rows {
    fn in_row(&self) -> bool {
        matches!(self.within.as_slice(), [.., true, true])
    }
}

impl Formatter for Rows {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.within.push(true);
        if self.in_row() { writer.write_all(b"[") } else { self.pretty.begin_array(writer) }
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let in_row = self.in_row();
        self.within.pop();
        if in_row { writer.write_all(b"]") } else { self.pretty.end_array(writer) }
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        match (self.in_row(), first) {
            (true, true) => Ok(()),
            (true, false) => writer.write_all(b", "),
            (false, _) => self.pretty.begin_array_value(writer, first),
        }
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.within.push(false);
        self.pretty.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.within.pop();
        self.pretty.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.pretty.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.pretty.end_object_value(writer)
    }
}
