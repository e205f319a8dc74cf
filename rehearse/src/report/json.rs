//! `rehearsal.json`: the raw figures, written and read again.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::ser::{Formatter, PrettyFormatter};

use crate::failure::Failure;
use crate::rehearsal::{FORMAT, Rehearsal};

/// The rehearsal as JSON that is also readable, and fit for `diff`.
pub(crate) fn to_json(rehearsal: &Rehearsal) -> io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let formatter = RowFormatter { pretty: PrettyFormatter::new(), in_array: Vec::new() };
    rehearsal.serialize(&mut serde_json::Serializer::with_formatter(&mut text, formatter))?;
    text.push(b'\n');
    Ok(text)
}

/// Reads what [`to_json`] wrote.
///
/// # Errors
///
/// There is no such file, it is something else, or it has a format that this program does not know.
pub(crate) fn read(file: &Path) -> Result<Rehearsal, Failure> {
    /// The part that all formats share.
    #[derive(Deserialize)]
    struct FormatOnly {
        form: u32,
    }
    let name = file.display();
    let text = fs::read(file).map_err(|error| Failure::usage(format!("cannot read {name}: {error}")))?;
    let not_one = |error: &serde_json::Error| Failure::usage(format!("{name} is not a rehearsal.json: {error}"));
    let FormatOnly { form } = serde_json::from_slice(&text).map_err(|error| not_one(&error))?;
    if form != FORMAT {
        let sentence = format!("{name} has form {form}; this softstop-rehearse reads form {FORMAT} only");
        return Err(Failure::usage(sentence));
    }
    let rehearsal: Rehearsal = serde_json::from_slice(&text).map_err(|error| not_one(&error))?;
    match &rehearsal.sweep {
        Some(sweep) if sweep.values.len() != rehearsal.runs.len() => Err(Failure::usage(format!(
            "{name} is not a rehearsal.json: its sweep has {} values for {} runs",
            sweep.values.len(),
            rehearsal.runs.len()
        ))),
        _ => Ok(rehearsal),
    }
}

/// Pretty JSON, except that an array within an array, which is a request, is written on one line. Otherwise a file of 5,000
/// requests would have 45,000 lines.
struct RowFormatter {
    pretty: PrettyFormatter<'static>,
    /// For each value that encloses the next one, whether it is an array.
    in_array: Vec<bool>,
}

impl RowFormatter {
    fn in_row(&self) -> bool {
        matches!(self.in_array.as_slice(), [.., true, true])
    }
}

impl Formatter for RowFormatter {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.in_array.push(true);
        if self.in_row() { writer.write_all(b"[") } else { self.pretty.begin_array(writer) }
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let in_row = self.in_row();
        self.in_array.pop();
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
        self.in_array.push(false);
        self.pretty.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.in_array.pop();
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
