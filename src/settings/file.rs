//! The TOML file. Each value is read as a flag's text would be, with its line and column as the source.

use std::fs;
use std::io;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::key::KEYS;
use super::{Error, Key, Layer, RawSetting, Source, value};

const LOG_KEYS: &[(&str, Key)] = &[("level", Key::Log), ("format", Key::LogFormat)];

/// Names of flags and variables that the file does not use, each with the name in the file.
const OTHER_NAMES: &[(&str, &str)] =
    &[("rewrite", "signals"), ("log_level", "log.level"), ("log_format", "log.format"), ("group", "target")];

/// Reads the file, except the settings that `stronger` overrides. `None`: the default file does not exist, which is no error.
pub(super) fn read(path: &Path, named_by: Source, stronger: &Layer) -> Result<Option<Layer>, Error> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound && named_by == Source::Default => return Ok(None),
        Err(error) => return Err(Error::Unreadable { path: path.to_owned(), named_by, error }),
    };
    let (mut layer, text) = (Layer::default(), std::str::from_utf8(&bytes));
    let text = match text {
        Ok(text) => text,
        Err(error) => {
            let good = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let text = String::from_utf8_lossy(good);
            let file = File { path, text: &text, stronger };
            return Err(Error::NotUtf8 { source: file.place(text.len()) });
        }
    };
    File { path, text, stronger }.read(&mut layer)?;
    Ok(Some(layer))
}

type Name<'i> = Spanned<DeString<'i>>;
type Value<'i> = Spanned<DeValue<'i>>;

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    stronger: &'a Layer,
}

impl File<'_> {
    /// The source with the line and the column of a byte, counted from 1.
    fn place(&self, offset: usize) -> Source {
        let before = self.text.get(..offset).unwrap_or(self.text);
        let line_start = before.rfind('\n').map_or(0, |line_break| line_break + 1);
        Source::File {
            path: self.path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        }
    }

    fn read(&self, layer: &mut Layer) -> Result<(), Error> {
        let table = DeTable::parse(self.text).map_err(|error| Error::NotToml {
            source: self.place(error.span().map_or(0, |span| span.start)),
            message: error.message().to_owned(),
        })?;
        for (name, value) in table.get_ref() {
            self.read_setting(name, value, layer)?;
        }
        Ok(())
    }

    fn read_setting(&self, name: &Name<'_>, value: &Value<'_>, layer: &mut Layer) -> Result<(), Error> {
        let source = self.place(name.span().start);
        let name: &str = name.get_ref();
        let key = KEYS.iter().find(|(_, _, known)| *known == Some(name)).map(|&(key, ..)| key);
        match key {
            Some(Key::Rewrite) => {
                for (from, to) in self.table(name, value, "a table of signals")? {
                    let source = self.place(from.span().start);
                    let to = self.scalar(from.get_ref(), to, "a signal")?;
                    if to.contains([',', ':']) {
                        return Err(Error::NotARewrite { source, word: to });
                    }
                    let (from, to) = value::rewrite(from.get_ref(), &to, &source)?;
                    layer.add_rewrite(from, to, &source)?;
                }
            }
            Some(Key::Log) => {
                for (name, value) in self.table(name, value, "a table with level and format")? {
                    let source = self.place(name.span().start);
                    let name: &str = name.get_ref();
                    let Some(&(_, key)) = LOG_KEYS.iter().find(|(known, _)| *known == name) else {
                        let nearest = value::nearest(name, &mut LOG_KEYS.iter().map(|&(known, _)| known));
                        let nearest = nearest.map(|key| format!("log.{key}"));
                        return Err(Error::UnknownKey { source, key: format!("log.{name}"), nearest });
                    };
                    self.add(layer, key, self.scalar(name, value, "a word in quotes")?, source)?;
                }
            }
            Some(
                key @ (Key::StopOn | Key::HurryOn | Key::RemapExit | Key::Ports | Key::IgnorePeers | Key::CountPeers),
            ) => {
                self.add(layer, key, self.list(name, value)?, source)?;
            }
            Some(key) => {
                let text = self.scalar(name, value, "a word in quotes, such as \"5s\" or \"TERM\"")?;
                self.add(layer, key, text, source)?;
            }
            None => {
                let other = OTHER_NAMES.iter().find(|(other, _)| *other == name).map(|&(_, known)| known);
                let nearest = || value::nearest(name, &mut KEYS.iter().filter_map(|&(_, _, known)| known));
                let nearest = other.or_else(nearest).map(str::to_owned);
                return Err(Error::UnknownKey { source, key: name.to_owned(), nearest });
            }
        }
        Ok(())
    }

    fn add(&self, layer: &mut Layer, key: Key, text: String, source: Source) -> Result<(), Error> {
        if self.stronger.overrides(key) { Ok(()) } else { layer.read(&RawSetting { key, text, source }) }
    }

    fn table<'a, 'i>(
        &self,
        name: &str,
        value: &'a Value<'i>,
        expected: &'static str,
    ) -> Result<&'a DeTable<'i>, Error> {
        value.get_ref().as_table().ok_or_else(|| self.wrong_type(name, value, expected))
    }

    /// A list as a flag takes it, separated by commas. In the file it is an array, or such a string.
    fn list(&self, name: &str, value: &Value<'_>) -> Result<String, Error> {
        let Some(array) = value.get_ref().as_array() else {
            return self.scalar(name, value, "a list such as [\"TERM\", \"QUIT\"]");
        };
        let words = array.iter().map(|word| self.scalar(name, word, "a list of strings"));
        let words: Vec<String> = words.collect::<Result<_, _>>()?;
        Ok(if words.is_empty() { value::NONE.to_owned() } else { words.join(",") })
    }

    fn scalar(&self, name: &str, value: &Value<'_>, expected: &'static str) -> Result<String, Error> {
        match value.get_ref() {
            DeValue::String(text) => Ok(text.clone().into_owned()),
            DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
                Ok(number) => Ok(number.to_string()),
                Err(_) => Err(self.wrong_type(name, value, expected)), // too large
            },
            DeValue::Float(number) => Ok(number.as_str().to_owned()),
            DeValue::Boolean(truth) => Ok(truth.to_string()),
            DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => Err(self.wrong_type(name, value, expected)),
        }
    }

    fn wrong_type(&self, name: &str, value: &Value<'_>, expected: &'static str) -> Error {
        let source = self.place(value.span().start);
        Error::WrongType { source, key: name.to_owned(), expected, found: value.get_ref().type_str() }
    }
}
