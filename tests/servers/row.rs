//! A row of the table: a server, a form in which people start it, and what is expected of its stop.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use common::{install, profile_directory, softstop_binary, target_tmpdir};

use super::client::Protocol;

/// The PATH of a container. A version manager's programs are not in it.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What was asked of a server, by when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// Three slow answers, asked before the stop request.
    A,
    /// Three more, asked during the pre-delay.
    B,
    /// Short ones all along.
    Short,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::A, Self::B, Self::Short];

    pub fn name(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
            Self::Short => "short",
        }
    }
}

/// A server and a form. In its words and files `{D}` stands for the directory of the run, `{E}` for the one in which
/// `tests/servers/table` has installed packages, `{X}` for that of the examples, `{S}` is softstop, and `{GO}` is the server in Go.
#[derive(Clone, Debug)]
pub struct Row {
    pub name: String,
    pub server: &'static str,
    /// A shell command that prints the version.
    pub version: &'static str,
    pub command: Vec<String>,
    /// What runs in the directory before, in a shell.
    pub prepare: String,
    pub files: Vec<(String, String)>,
    pub environment: Vec<(String, String)>,
    /// Programs without which it is skipped.
    pub needs: Vec<String>,
    pub protocol: Protocol,
    pub slow_seconds: u64,
    pub asks: Vec<Part>,
    /// Whether the tests hold it.
    pub is_held: bool,
    pub expected: Expected,
    /// What a reader of the table has to know.
    pub remark: &'static str,
}

/// What the tests hold.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// What may be lost under softstop, and why.
    pub may_lose: Vec<(Part, &'static str)>,
    /// Whether the control may lose nothing. Otherwise tini must lose something, or the row proves nothing.
    pub tini_keeps: bool,
    /// softstop's exit code.
    pub code: u8,
    /// Each server that is sent a signal, as the log names it, and the signal.
    pub sent: Vec<(&'static str, &'static str)>,
    /// A file, and what it says once for each stop signal that has reached the server; and how often that is.
    pub counted: Option<(&'static str, &'static str, usize)>,
    /// Whether it must end as soon as under tini, since nobody is to be waited for.
    pub no_slower_than_tini: bool,
}

impl Row {
    pub fn new(name: &str, server: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            server,
            version: "",
            command: Vec::new(),
            prepare: String::new(),
            files: Vec::new(),
            environment: Vec::new(),
            needs: Vec::new(),
            protocol: Protocol::Http,
            slow_seconds: 4,
            asks: Part::ALL.to_vec(),
            is_held: false,
            expected: Expected::default(),
            remark: "",
        }
    }

    /// The same under another name.
    pub fn form(&self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self.clone() }
    }

    pub fn version(mut self, command: &'static str) -> Self {
        self.version = command;
        self
    }

    /// What is started. The last program that is needed is its first word, unless that is a script of the run's.
    pub fn runs<S: AsRef<str>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.command = words.into_iter().map(|word| word.as_ref().to_owned()).collect();
        self
    }

    /// These words, then what it ran so far.
    pub fn behind(mut self, words: &[&str]) -> Self {
        self.command.splice(..0, words.iter().map(|&word| word.to_owned()));
        self
    }

    /// What it ran so far, as one word behind these: `sh -c "exec .."`.
    pub fn in_shell(mut self, words: &[&str], beginning: &str, end: &str) -> Self {
        let line = format!("{beginning}{}{end}", quoted(&self.command));
        self.command = words.iter().map(|&word| word.to_owned()).chain([line]).collect();
        self
    }

    /// What it ran so far, in a script.
    pub fn in_script(mut self, name: &str, before: &str, after: &str) -> Self {
        let text = format!("#!/bin/sh\n{before}{}{after}\n", quoted(&self.command));
        self.command = vec![format!("{{D}}/{name}")];
        self.file(name, &text)
    }

    /// Behind the script of many official images, which execs what it is given.
    pub fn in_entrypoint(self) -> Self {
        self.file("docker-entrypoint.sh", "#!/bin/sh\nset -e\nexec \"$@\"\n").behind(&["{D}/docker-entrypoint.sh"])
    }

    /// A file of the run's directory. A script may be run.
    pub fn file(mut self, name: &str, content: &str) -> Self {
        self.files.retain(|(other, _)| other != name);
        self.files.push((name.to_owned(), content.to_owned()));
        self
    }

    pub fn prepare(mut self, command: &str) -> Self {
        self.prepare.push_str(command);
        self.prepare.push('\n');
        self
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn needs(mut self, programs: &[&str]) -> Self {
        self.needs.extend(programs.iter().map(|&program| program.to_owned()));
        self
    }

    pub fn speaks(mut self, protocol: Protocol) -> Self {
        self.protocol = protocol;
        self
    }

    pub fn asks(mut self, parts: &[Part]) -> Self {
        self.asks = parts.to_vec();
        self
    }

    pub fn slow_seconds(mut self, seconds: u64) -> Self {
        self.slow_seconds = seconds;
        self
    }

    /// Only the table shows it.
    pub fn table_only(mut self) -> Self {
        self.is_held = false;
        self
    }

    /// The tests hold it, not only the table shows it.
    pub fn held(mut self) -> Self {
        self.is_held = true;
        self
    }

    /// The log says that this server was sent this signal.
    pub fn sends(mut self, signal: &'static str, server: &'static str) -> Self {
        self.expected.sent.push((signal, server));
        self
    }

    /// The same, and no other server is, whatever was said before.
    pub fn sends_only(mut self, signal: &'static str, server: &'static str) -> Self {
        self.expected.sent = vec![(signal, server)];
        self
    }

    pub fn counted(mut self, file: &'static str, part: &'static str, times: usize) -> Self {
        self.expected.counted = Some((file, part, times));
        self
    }

    pub fn code(mut self, code: u8) -> Self {
        self.expected.code = code;
        self
    }

    /// What is lost under softstop too, and why.
    pub fn may_lose(mut self, parts: &[Part], why: &'static str) -> Self {
        self.expected.may_lose.extend(parts.iter().map(|&part| (part, why)));
        self
    }

    /// Under tini nothing is lost either.
    pub fn tini_keeps(mut self) -> Self {
        self.expected.tini_keeps = true;
        self
    }

    /// Nobody is to be waited for.
    pub fn ends_no_slower_than_tini(mut self) -> Self {
        self.expected.no_slower_than_tini = true;
        self
    }

    pub fn remark(mut self, remark: &'static str) -> Self {
        self.remark = remark;
        self
    }

    /// The first program that is needed and missing.
    pub fn missing(&self) -> Option<String> {
        let missing = self.needs.iter().find(|program| !is_there(&filled(program, Path::new("/"))))?;
        let name = Path::new(missing).file_name().unwrap();
        Some(name.to_string_lossy().into_owned())
    }

    /// Writes its files, and runs what is to run before.
    pub fn set_up(&self, directory: &Path) -> Result<(), String> {
        fs::set_permissions(directory, fs::Permissions::from_mode(0o755)).unwrap();
        for (name, content) in &self.files {
            let path = directory.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, filled(content, directory)).unwrap();
            let mode = if content.starts_with("#!") { 0o755 } else { 0o644 };
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        }
        if self.prepare.is_empty() {
            return Ok(());
        }
        let mut command = Command::new("env");
        command.args(self.words_of_environment(directory)).args(["sh", "-ec", &filled(&self.prepare, directory)]);
        let output = command.current_dir(directory).stdin(Stdio::null()).output().unwrap();
        if output.status.success() {
            return Ok(());
        }
        let said = [output.stdout, output.stderr].concat();
        Err(format!("its preparation failed: {}", String::from_utf8_lossy(&said)))
    }

    /// For env(1): a container's environment, not this test's.
    pub fn words_of_environment(&self, directory: &Path) -> Vec<String> {
        let home = directory.to_str().unwrap();
        let own = self.environment.iter().map(|(name, value)| format!("{name}={}", filled(value, directory)));
        ["-i".to_owned(), format!("PATH={PATH}"), format!("HOME={home}"), "LANG=C.UTF-8".to_owned()]
            .into_iter()
            .chain(own)
            .collect()
    }

    pub fn words(&self, directory: &Path) -> Vec<String> {
        self.command.iter().map(|word| filled(word, directory)).collect()
    }

    /// The command as the table shows it: without the directories.
    pub fn shown(&self) -> String {
        let words: Vec<String> = self
            .command
            .iter()
            .map(|word| {
                word.replace("{D}/", "")
                    .replace("{E}/venv/bin/", "")
                    .replace("{E}/node/node_modules/.bin/", "")
                    .replace("{X}/", "")
                    .replace("{S}", "softstop")
                    .replace("{GO}", "go-server")
            })
            .collect();
        let line = quoted(&words);
        let short: String = line.chars().take(70).collect();
        if short == line { line } else { short + ".." }
    }
}

/// By its path or by its name; a star stands for a version.
fn is_there(program: &str) -> bool {
    if let Some(beginning) = program.strip_suffix('*') {
        let begins = |entry: fs::DirEntry| entry.file_name().to_string_lossy().starts_with(beginning);
        return PATH.split(':').filter_map(|path| fs::read_dir(path).ok()).flatten().flatten().any(begins);
    }
    program.starts_with('/') && Path::new(program).exists()
        || PATH.split(':').any(|directory| Path::new(directory).join(program).exists())
}

/// The server of `files/server.go`, built once for all runs.
fn go_server() -> &'static str {
    static BUILT: LazyLock<String> = LazyLock::new(|| {
        let directory = target_tmpdir().join("go-server");
        fs::create_dir_all(&directory).unwrap();
        let (source, program) = (directory.join("go-server.go"), directory.join("go-server"));
        fs::write(&source, include_str!("files/server.go")).unwrap();
        let mut build = Command::new("go");
        build.args(["build", "-o"]).args([&program, &source]).env("GOCACHE", directory.join("cache"));
        build.env("GO111MODULE", "off").env("GOFLAGS", "").current_dir(&directory);
        match build.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => program.to_str().unwrap().to_owned(),
            Ok(output) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            Err(_) => "go".to_owned(), // which is missing, then
        }
    });
    &BUILT
}

/// The binary under test by the name `softstop`: another softstop recognises it by its name. With `SOFTSTOP_BINARY` the file may
/// have any other.
pub fn named_softstop() -> &'static str {
    static NAMED: LazyLock<String> = LazyLock::new(|| {
        let binary = Path::new(softstop_binary());
        if binary.ends_with("softstop") {
            return softstop_binary().to_owned();
        }
        let directory = target_tmpdir().join("named");
        fs::create_dir_all(&directory).unwrap();
        // Renamed: another run may be using an older copy.
        let (fresh, copy) = (directory.join(format!("fresh-{}", std::process::id())), directory.join("softstop"));
        install(&fresh, fs::read(binary).unwrap());
        fs::rename(&fresh, &copy).unwrap();
        copy.into_os_string().into_string().unwrap()
    });
    &NAMED
}

/// Where `tests/servers/table` installs packages.
fn extras() -> String {
    std::env::var("TEST_SERVERS_CACHE").unwrap_or_else(|_| "/nonexistent".to_owned())
}

pub fn filled(text: &str, directory: &Path) -> String {
    let text = text.replace("{D}", directory.to_str().unwrap()).replace("{E}", &extras());
    let text = if text.contains("{S}") { text.replace("{S}", named_softstop()) } else { text };
    let text = text.replace("{X}", profile_directory().join("examples").to_str().unwrap());
    if text.contains("{GO}") { text.replace("{GO}", go_server()) } else { text }
}

/// As a shell takes it.
fn quoted(words: &[String]) -> String {
    let quote = |word: &String| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "/-_.=:,+@%{}".contains(c);
        if !word.is_empty() && word.chars().all(is_plain) {
            word.clone()
        } else {
            format!("'{}'", word.replace('\'', r"'\''"))
        }
    };
    words.iter().map(quote).collect::<Vec<_>>().join(" ")
}
