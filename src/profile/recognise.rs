//! Which server a command line starts, and which one a running process is.
//!
//! A wrong guess is worse than none: where a wrapper's option is not known, or a shell's command is not simple, there is no
//! answer.

use std::ffi::OsStr;

use super::{GRACEFUL_UWSGI, PROFILES, Profile, Runtime};

/// A process's own words may be endless wrappers within wrappers.
const MOST_WRAPPERS: usize = 10;

/// The kernel keeps this much of a program's name (`TASK_COMM_LEN`).
const COMM_LENGTH: usize = 15;

type Words = Vec<String>;

/// The words as text. What is no UTF-8 is in no table.
pub(super) fn words<S: AsRef<OsStr>>(words: &[S]) -> Words {
    words.iter().map(|word| word.as_ref().to_string_lossy().into_owned()).collect()
}

/// The last part of a path.
fn base(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// A name without a version at its end: `php-fpm8.2`, `python3`, and squid's `(squid-1)`.
fn unversioned(name: &str) -> &str {
    let name = name.trim_start_matches('(').trim_end_matches(')');
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').trim_end_matches('-')
}

/// What `comm` shows of a program with this name.
fn cut(name: &str) -> &str {
    name.get(..COMM_LENGTH).unwrap_or(name)
}

impl Profile {
    fn has_program(&self, name: &str) -> bool {
        self.programs.contains(&name) || self.programs.contains(&unversioned(name))
    }
}

impl Runtime {
    fn of(program: &str) -> Option<Self> {
        Some(match unversioned(program) {
            "beam.smp" => Self::Erlang,
            "java" => Self::Java,
            "lua" | "luajit" => Self::Lua,
            "node" | "nodejs" => Self::Node,
            "php" => Self::Php,
            "python" | "pypy" => Self::Python,
            "ruby" | "jruby" => Self::Ruby,
            _ => return None,
        })
    }

    /// Whether a process that runs one of its servers may have this `comm`.
    fn has_comm(self, comm: &str) -> bool {
        Self::of(comm) == Some(self)
            || match self {
                // Since Node.js 22.
                Self::Node => comm == "MainThread" || comm == "node-MainThread",
                // They load the server into their own process.
                Self::Ruby => matches!(comm, "bundle" | "rackup" | "rails"),
                _ => false,
            }
    }
}

/// The server that a command line starts.
pub(super) fn started_by(mut words: Words) -> Option<&'static Profile> {
    for _ in 0..MOST_WRAPPERS {
        match unwrap(&words) {
            Wrapping::Around(inner) => words = inner,
            Wrapping::None => return server(&words).map(|(profile, _)| profile),
            Wrapping::Unclear => return None,
        }
    }
    None
}

/// The server that a process is.
pub(super) fn running(words: &[String], comm: &str) -> Option<&'static Profile> {
    if let Some(title) = title(words) {
        return titled(title, comm);
    }
    let (profile, names) = server(words)?;
    let agrees = names.iter().any(|name| cut(name) == comm || unversioned(name) == comm)
        || profile.runtime.is_some_and(|runtime| runtime.has_comm(comm))
        // Apache Traffic Server names its threads.
        || comm == "[TS_MAIN]" && profile.has_program("traffic_server");
    agrees.then_some(profile)
}

/// The title that a process has given itself, in place of its arguments: one word with spaces in it.
fn title(words: &[String]) -> Option<&str> {
    let (title, rest) = words.split_first()?;
    (title.contains(' ') && rest.iter().all(String::is_empty)).then_some(title)
}

/// The name at the head of a title: `nginx: master process`, `redis-server *:6379`, `[celeryd: celery@host:MainProcess]`.
fn head(title: &str) -> &str {
    base(title.trim_start_matches('[').split([' ', ':']).next().unwrap_or(title))
}

fn titled(title: &str, comm: &str) -> Option<&'static Profile> {
    let name = head(title);
    let profile = PROFILES.iter().find(|profile| profile.has_program(name))?;
    let agrees = profile.has_program(comm)
        // A scripting language's setproctitle() changes both.
        || profile.runtime.is_some_and(|runtime| comm == cut(title) || runtime.has_comm(comm));
    agrees.then_some(profile)
}

/// The server that these words run in one process, and the names that its `comm` may have.
fn server(words: &[String]) -> Option<(&'static Profile, [&str; 2])> {
    let program = base(words.first()?);
    let mut names = [program; 2];
    let profile = match Runtime::of(program) {
        None => by_name(program, words)?,
        Some(runtime) => match script(runtime, words) {
            Some((name, at)) => {
                names = [program, base(name)];
                by_script(runtime, name, words.get(at..)?)?
            }
            // `node -e`, `java @file`
            None if matches!(runtime, Runtime::Java | Runtime::Node) => by_name(program, words)?,
            None => return None,
        },
    };
    let is_graceful = |word: &String| word.contains("unix_signal:15 gracefully_kill_them_all");
    if profile.name == GRACEFUL_UWSGI.name && words.iter().any(is_graceful) {
        return Some((GRACEFUL_UWSGI, names));
    }
    Some((profile, names))
}

/// The server by the name of its program, which is the first of these words.
fn by_name(name: &str, words: &[String]) -> Option<&'static Profile> {
    let argument = words.get(1).map(String::as_str);
    match (name, argument) {
        // Rails has started puma by default since 5.0.
        ("rails", Some("server" | "s")) => Profile::named("puma"),
        ("rackup", _) => {
            let at = words.iter().position(|word| word == "-s" || word == "--server")?;
            let server = words.get(at + 1)?;
            PROFILES.iter().find(|profile| profile.runtime == Some(Runtime::Ruby) && profile.has_program(server))
        }
        ("manage.py" | "django-admin" | "django", Some("runserver")) => Profile::named("runserver"),
        ("run.sh", _) => {
            let directory = words.first()?.strip_prefix("/opt/bitnami/scripts/")?.strip_suffix("/run.sh")?;
            Profile::named(directory)
        }
        _ => PROFILES.iter().find(|profile| profile.has_program(name)),
    }
}

/// The server that a runtime runs: a script or module of this name, with these words.
fn by_script(runtime: Runtime, name: &str, words: &[String]) -> Option<&'static Profile> {
    let profile = match runtime {
        Runtime::Node if is_package_manager(base(name)) => None,
        Runtime::Node => Profile::named("node"),
        Runtime::Php => Profile::named("php-server"),
        Runtime::Java => with_module(name).or_else(|| Profile::named("java")),
        // bundler loads the script into its own process.
        Runtime::Ruby if base(name) == "bundle" => {
            let inner = wrapper_named("bundle")?.inner(words)?;
            by_name(base(inner.first()?), &inner)
        }
        Runtime::Erlang | Runtime::Lua | Runtime::Python | Runtime::Ruby => {
            // The package of a module: `gunicorn.app.wsgiapp`.
            let package = name.strip_suffix(".py").map_or_else(|| name.split('.').next(), |_| Some(name))?;
            let named = |name| with_module(name).or_else(|| by_name(base(name), words));
            named(name).or_else(|| named(package).filter(|_| runtime == Runtime::Python))
        }
    };
    profile.filter(|profile| profile.runtime == Some(runtime))
}

fn with_module(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.modules.contains(&name))
}

/// What a runtime runs, by its arguments: the name of the script, module or class, and the word that it stands in.
fn script(runtime: Runtime, words: &[String]) -> Option<(&str, usize)> {
    let (short, long) = match runtime {
        Runtime::Java => return main_class(words),
        Runtime::Erlang => {
            let is_release = |pair: &[String]| match pair {
                [option, name] => (option == "-s" || option == "-progname") && with_module(name).is_some(),
                _ => false,
            };
            let at = 1 + words.windows(2).position(is_release)?;
            return Some((words.get(at)?, at));
        }
        Runtime::Php => ("S!d:c:t:n", ""),
        Runtime::Lua => ("e:l:iEvW", ""),
        Runtime::Node => ("r:C:e!p!i", "require: import: loader: experimental-loader: conditions: *"),
        Runtime::Python => ("m!c!W:X:bBdEiIOPqsSuvx", ""),
        Runtime::Ruby => ("e!C:E:I:r:adlnpsSvwWyU012", "yjit jit verbose"),
    };
    match options(words, 1, short, long)? {
        End::Value('m' | 'S', name, at) => Some((name, at - 1)),
        End::Value(..) => None,
        End::Operand(_) if runtime == Runtime::Php => None,
        End::Operand(at) => Some((words.get(at)?, at)),
    }
}

/// A JVM's main class, or the base name of its .jar.
fn main_class(words: &[String]) -> Option<(&str, usize)> {
    let mut at = 1;
    while let Some(word) = words.get(at) {
        match word.as_str() {
            // MODULE/CLASS
            "-jar" | "-m" | "--module" => return Some((base(words.get(at + 1)?), at + 1)),
            "-cp"
            | "-classpath"
            | "--class-path"
            | "-p"
            | "--module-path"
            | "--upgrade-module-path"
            | "--add-modules"
            | "--add-opens"
            | "--add-exports"
            | "--add-reads"
            | "--patch-module"
            | "--limit-modules"
            | "--enable-native-access"
            | "--source" => at += 2,
            option if option.starts_with(['-', '@']) => at += 1,
            class => return Some((class, at)),
        }
    }
    None
}

/// Where a command's options end.
enum End<'a> {
    /// At its first operand, which may be missing.
    Operand(usize),
    /// At an option that is marked as the last one: its letter, its value, and at which word what follows begins.
    Value(char, &'a str, usize),
}

/// Reads options as getopt(3) does: `short` has the letters, `long` the names; `:` follows what takes a value and `!` what
/// takes one and ends the options. `*` and `*:` stand for every other long name. `None`: an option is not known.
fn options<'a>(words: &'a [String], mut at: usize, short: &str, long: &str) -> Option<End<'a>> {
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

/// A program that runs the command which its arguments end in.
struct Wrapper {
    names: &'static [&'static str],
    /// The word before the command (`bundle exec`); options may stand before and behind it.
    verb: &'static str,
    /// How many operands of its own come before the command.
    operands: usize,
    short: &'static str,
    long: &'static str,
}

const fn wrapper(names: &'static [&'static str], short: &'static str, long: &'static str) -> Wrapper {
    Wrapper { names, verb: "", operands: 0, short, long }
}

/// From each one's manual.
const WRAPPERS: &[Wrapper] = &[
    Wrapper { operands: 1, ..wrapper(&["gosu", "su-exec", "setuidgid", "s6-setuidgid"], "", "") },
    wrapper(
        &["setpriv"],
        "",
        "clear-groups no-new-privs nnp keep-groups init-groups reset-env ambient-caps: inh-caps: bounding-set: ruid: euid: rgid: egid: reuid: regid: groups: securebits: pdeathsig: selinux-label: apparmor-profile:",
    ),
    wrapper(&["chpst"], "u:U:b:e:/:n:l:L:m:d:o:p:f:c:r:t:vVP012", ""),
    wrapper(&["env"], "iv0u:C:", "ignore-environment unset: chdir: block-signal default-signal ignore-signal debug"),
    wrapper(&["sudo"], "u:g:h:p:C:D:R:r:t:T:ABbEHnPS", "user: group: preserve-env set-home non-interactive"),
    wrapper(&["doas"], "u:C:n", ""),
    wrapper(&["nice"], "n:0123456789", "adjustment:"),
    wrapper(&["ionice"], "c:n:t", "class: classdata: ignore"),
    wrapper(&["stdbuf"], "i:o:e:", "input: output: error:"),
    Wrapper {
        operands: 1,
        ..wrapper(&["timeout"], "k:s:vfp", "kill-after: signal: foreground preserve-status verbose")
    },
    wrapper(&["nohup"], "", ""),
    wrapper(&["setsid"], "cfw", "ctty fork wait"),
    Wrapper { operands: 1, ..wrapper(&["chroot"], "", "groups: userspec: skip-chdir") },
    Wrapper { operands: 1, ..wrapper(&["taskset"], "ac", "all-tasks cpu-list") },
    wrapper(&["numactl"], "i:m:N:C:p:la", "interleave: membind: cpunodebind: physcpubind: preferred: localalloc all"),
    wrapper(
        &["unshare"],
        "muinpUCTfrcR:w:S:G:",
        "mount uts ipc net pid user cgroup time fork kill-child mount-proc map-root-user map-current-user map-auto keep-caps map-user: map-group: map-users: map-groups: propagation: setgroups: root: wd: setuid: setgid:",
    ),
    wrapper(&["tini", "tini-static", "docker-init"], "p:e:svwgl", ""),
    wrapper(&["dumb-init"], "r:cv", "rewrite: single-child verbose"),
    wrapper(&["catatonit", "podman-init"], "gv", ""),
    wrapper(&["with-contenv"], "", ""),
    Wrapper { verb: "exec", ..wrapper(&["bundle"], "", "keep-file-descriptors gemfile:") },
    Wrapper {
        verb: "run",
        ..wrapper(&["poetry"], "qvnC:P:", "quiet no-interaction no-plugins no-cache ansi no-ansi directory: project:")
    },
    Wrapper {
        verb: "run",
        ..wrapper(
            &["uv"],
            "p:i:f:qvn",
            "quiet verbose no-project frozen locked no-sync no-dev no-default-groups only-dev dev all-extras all-groups all-packages isolated offline active exact no-cache no-config no-env-file no-progress no-editable managed-python no-managed-python native-tls python: project: directory: with: with-editable: with-requirements: extra: no-extra: group: no-group: only-group: env-file: package: index: default-index: index-url: extra-index-url: find-links: cache-dir: config-file: color:",
        )
    },
    Wrapper { verb: "run", ..wrapper(&["pipenv"], "qv", "quiet verbose") },
    Wrapper { verb: "run", ..wrapper(&["dotenv"], "f:q:e:", "file: quote: export: override no-override") },
    Wrapper { verb: "run-program", ..wrapper(&["newrelic-admin"], "", "") },
    wrapper(&["opentelemetry-instrument"], "", "*:"),
    wrapper(&["ddtrace-run"], "dipv", "debug info profiling"),
    wrapper(&["npx"], "yqp:", "yes no no-install quiet package:"),
];

/// Scripts of official images that run the server named by their first argument, and the names that others give to theirs.
const ENTRYPOINTS: &[&str] = &[
    "docker-entrypoint.sh",
    "docker-entrypoint",
    "docker-php-entrypoint",
    "docker-varnish-entrypoint",
    "entrypoint.sh",
    "entrypoint",
];

/// Scripts that wait for another server and then run what follows `--`.
const WAITERS: &[&str] =
    &["wait-for-it.sh", "wait-for-it", "wait-for.sh", "wait-for", "dockerize", "doppler", "infisical"];

const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "zsh", "ksh"];

enum Wrapping {
    /// The words run this command.
    Around(Words),
    /// They are a command of their own.
    None,
    /// They run another command, and which one is not clear.
    Unclear,
}

impl From<Option<Words>> for Wrapping {
    fn from(inner: Option<Words>) -> Self {
        inner.map_or(Self::Unclear, Self::Around)
    }
}

fn unwrap(words: &[String]) -> Wrapping {
    let Some(first) = words.first() else { return Wrapping::Unclear };
    let program = base(first);
    if SHELLS.contains(&program) {
        return shell(words).inner().into();
    }
    if matches!(program, "su" | "runuser") {
        return as_user(words).into();
    }
    if ENTRYPOINTS.contains(&program) {
        return entrypoint(program, words).into();
    }
    if WAITERS.contains(&program) {
        let at = words.iter().position(|word| word == "--");
        return at.and_then(|at| from(words, at + 1)).into();
    }
    if let Some(wrapper) = wrapper_named(program) {
        return wrapper.inner(words).into();
    }
    // `python -m poetry run`, `ruby /usr/bin/bundle exec`
    let inner = Runtime::of(program).and_then(|runtime| {
        let (name, at) = script(runtime, words)?;
        let wrapper = wrapper_named(base(name))?;
        let words: Words = std::iter::once(name.to_owned()).chain(words.iter().skip(at + 1).cloned()).collect();
        Some(wrapper.inner(&words))
    });
    inner.map_or(Wrapping::None, Wrapping::from)
}

fn wrapper_named(name: &str) -> Option<&'static Wrapper> {
    WRAPPERS.iter().find(|wrapper| wrapper.names.contains(&name))
}

fn from(words: &[String], at: usize) -> Option<Words> {
    words.get(at..).filter(|inner| !inner.is_empty()).map(<[String]>::to_vec)
}

impl Wrapper {
    fn inner(&self, words: &[String]) -> Option<Words> {
        let mut at = self.operand(words, 1)?;
        if !self.verb.is_empty() {
            if words.get(at)? != self.verb {
                return None;
            }
            at = self.operand(words, at + 1)?;
        }
        if self.names == ["env"] || self.names == ["sudo"] {
            // `env -` is `env -i`.
            while words.get(at).is_some_and(|word| word.contains('=') || word == "-") {
                at += 1;
            }
        }
        from(words, at + self.operands)
    }

    fn operand(&self, words: &[String], at: usize) -> Option<usize> {
        match options(words, at, self.short, self.long)? {
            End::Operand(at) => Some(at),
            End::Value(..) => None,
        }
    }
}

/// su(1) takes options behind its operands; with `runuser -u USER` the operands are the command.
fn as_user(words: &[String]) -> Option<Words> {
    let long = "command! shell: group: supp-group: whitelist-environment: user: login preserve-environment";
    let is_command = words.iter().any(|word| word == "-u" || word.starts_with("--user"));
    let mut at = 1;
    while at < words.len() {
        match options(words, at, "c!s:g:G:w:u:lmpfP", long)? {
            End::Value(_, command, _) => return simple_command(command),
            End::Operand(operand) if is_command => return from(words, operand),
            End::Operand(operand) => at = operand + 1,
        }
    }
    None
}

/// An image's entrypoint puts its server before arguments that begin with an option. Which server that is shows in few of them.
fn entrypoint(program: &str, words: &[String]) -> Option<Words> {
    let arguments = words.get(1..)?;
    let first = arguments.first().map_or("", String::as_str);
    let server = if program == "docker-varnish-entrypoint" && (first.is_empty() || first.starts_with('-')) {
        "varnishd"
    } else if [".js", ".mjs", ".cjs"].iter().any(|end| first.ends_with(end)) {
        "node"
    } else if !first.starts_with('-') {
        return from(words, 1);
    } else if program == "docker-php-entrypoint" {
        "php"
    } else if arguments.iter().any(|word| {
        let word = word.to_ascii_lowercase();
        word.starts_with("--entrypoints.") || word.starts_with("--providers.")
    }) {
        "traefik"
    } else if arguments.iter().any(|word| word.ends_with("/haproxy.cfg")) {
        "haproxy"
    } else if first == "-c" && arguments.get(1)?.contains('=') {
        "postgres"
    } else {
        return None;
    };
    Some(std::iter::once(server.to_owned()).chain(arguments.iter().cloned()).collect())
}

/// What a shell runs.
enum Shell<'a> {
    /// The string behind `-c`.
    Command(&'a str),
    /// A script and its arguments.
    Script(Words),
    /// Its input.
    Input,
    /// An option is not known.
    Unclear,
}

impl Shell<'_> {
    fn inner(self) -> Option<Words> {
        match self {
            Self::Command(command) => simple_command(command),
            Self::Script(words) => Some(words),
            Self::Input | Self::Unclear => None,
        }
    }
}

fn shell(words: &[String]) -> Shell<'_> {
    let mut is_command = false;
    let mut at = 1;
    while let Some(word) = words.get(at) {
        at += 1;
        let Some(letters) = word.strip_prefix(['-', '+']) else {
            at -= 1;
            break;
        };
        match letters {
            "" | "-" => break,
            "-login" | "-norc" | "-noprofile" | "-posix" | "-noediting" | "-verbose" | "-interactive" => {}
            // A script from its input may have arguments.
            _ if letters.starts_with('-') || letters.contains('s') => return Shell::Unclear,
            _ => {
                is_command |= letters.contains('c');
                at += letters.matches(['o', 'O']).count();
            }
        }
    }
    match words.get(at) {
        Some(command) if is_command => Shell::Command(command),
        Some(_) => Shell::Script(words.get(at..).unwrap_or_default().to_vec()),
        None if is_command => Shell::Unclear,
        None => Shell::Input,
    }
}

pub(super) fn is_shell(words: &[String], comm: &str) -> bool {
    let program = words.first().map(|first| base(first).trim_start_matches('-'));
    SHELLS.contains(&comm) || program.is_some_and(|program| SHELLS.contains(&program) || program == "busybox")
}

pub(super) fn is_shell_without_script(words: &[String]) -> bool {
    // A login shell's name begins with a dash.
    let is_shell = words.first().is_some_and(|first| SHELLS.contains(&base(first).trim_start_matches('-')));
    is_shell && matches!(shell(words), Shell::Input)
}

/// The words of a shell's simple command, without assignments and `exec` before it. Variables are left as they are written.
/// `None`: it is not simple.
fn simple_command(text: &str) -> Option<Words> {
    let mut words = Words::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.trim_matches([' ', '\t', '\n']).chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(quoted), c) if quoted == c => quote = None,
            // A substitution runs a command of its own.
            (None | Some('"'), '`') | (None, ';' | '&' | '|' | '<' | '>' | '(' | ')' | '\n') => return None,
            (None | Some('"'), '$') if chars.peek() == Some(&'(') => return None,
            (None, ' ' | '\t') => words.extend(word.take()),
            (None, '#') if word.is_none() => return None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '\\') => match chars.next()? {
                '\n' => {}
                c => word.get_or_insert_default().push(c),
            },
            (Some('"'), '\\') if chars.peek().is_some_and(|c| "$`\"\\".contains(*c)) => {
                word.get_or_insert_default().extend(chars.next());
            }
            (_, c) => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    let is_assignment = |word: &String| {
        word.split_once('=')
            .is_some_and(|(name, _)| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
    };
    let mut at = words.iter().take_while(|word| is_assignment(word)).count();
    if words.get(at).is_some_and(|word| word == "exec") {
        at += 1;
    }
    if quote.is_some() { None } else { from(&words, at) }
}

/// They catch SIGTERM and end, or kill what they started, without passing it on.
fn is_package_manager(script: &str) -> bool {
    let name = script.trim_end_matches(".js").trim_end_matches(".cjs").trim_end_matches("-cli");
    matches!(name, "npm" | "npx" | "yarn" | "yarnpkg" | "pnpm" | "pnpx" | "nodemon") || name.starts_with("yarn-")
}

pub(super) fn is_looked_through(words: &[String], comm: &str) -> bool {
    if let Some(title) = title(words) {
        // npm gives itself the title `npm start`.
        return is_package_manager(head(title)) && (comm == cut(title) || Runtime::Node.has_comm(comm));
    }
    let Some(program) = words.first().map(|first| base(first)) else { return false };
    if Runtime::of(program) == Some(Runtime::Node) {
        return script(Runtime::Node, words).is_some_and(|(name, _)| {
            is_package_manager(base(name)) && (Runtime::Node.has_comm(comm) || comm == cut(base(name)))
        });
    }
    let passes_on = match program {
        "tini" | "tini-static" | "docker-init" | "podman-init" | "catatonit" | "su" | "runuser" | "sudo"
        | "timeout" | "uv" => true,
        // With a rewrite of its user's it must get the signal itself.
        "dumb-init" => {
            matches!(options(words, 1, "r!cv", "rewrite! single-child verbose"), Some(End::Operand(_)))
        }
        _ => false,
    };
    passes_on && comm == cut(program)
}

#[cfg(test)]
mod tests {
    use super::super::Finishes;
    use super::*;
    use crate::signal::Signal;

    /// The server that a command line starts; its words are separated by spaces, or by bars if they hold spaces.
    fn started(command: &str) -> Option<&'static str> {
        let separator = if command.contains('|') { '|' } else { ' ' };
        started_by(words(&command.split(separator).collect::<Vec<_>>())).map(|profile| profile.name)
    }

    fn run_by(cmdline: &[&str], comm: &str) -> Option<&'static str> {
        assert!(comm.len() <= COMM_LENGTH, "{comm}");
        running(&words(cmdline), comm).map(|profile| profile.name)
    }

    fn each_starts(server: &str, commands: &[&str]) {
        for command in commands {
            assert_eq!(started(command), Some(server), "{command}");
        }
    }

    fn none_starts(commands: &[&str]) {
        for command in commands {
            assert_eq!(started(command), None, "{command}");
        }
    }

    #[test]
    fn a_server_is_known_by_the_base_name_of_its_program() {
        for (command, name) in [
            ("nginx", "nginx"),
            ("/usr/sbin/nginx -g daemon", "nginx"),
            ("nginx-debug", "nginx"),
            ("openresty", "nginx"),
            ("php-fpm8.2", "php-fpm"),
            ("apache2 -DFOREGROUND", "httpd"),
            ("httpd-foreground", "httpd"),
            ("apachectl -DFOREGROUND", "httpd"),
            ("apache2ctl -f apache.conf -DFOREGROUND", "httpd"),
            ("gunicorn3 app", "gunicorn"),
            ("mariadbd", "mysql"),
            ("mysqld_safe --user=mysql", "mysql"),
            ("/usr/lib/postgresql/17/bin/postgres", "postgres"),
            ("/usr/share/tomcat10/bin/catalina.sh run", "tomcat"),
            ("lighttpd-angel -D -f l.conf", "lighttpd"),
            ("node s.js", "node"),
            ("node", "node"),
            ("next start -p 8080", "node"),
            ("uwsgi_python3 --ini a.ini", "uwsgi"),
        ] {
            assert_eq!(started(command), Some(name), "{command}");
        }
    }

    #[test]
    fn a_plain_program_has_no_profile() {
        none_starts(&[
            "sleep 1",
            "nginx-exporter",
            "my-node",
            "/",
            "8",
            "",
            "sh",
            "start.sh",
            "npm start",
            "yarn start",
        ]);
    }

    #[test]
    fn wrappers_are_looked_through() {
        each_starts(
            "nginx",
            &[
                "gosu root nginx -g daemon",
                "gosu root:root nginx",
                "su-exec nginx nginx",
                "setpriv --no-new-privs nginx",
                "setpriv --reuid www-data --regid=www-data --init-groups --inh-caps=-all nginx -g x",
                "chpst -u www-data -o 1024 -P nginx",
                "chpst -uwww-data nginx",
                "env nginx",
                "env X=1 Y=2 nginx",
                "env -i -u HOME PATH=/bin nginx",
                "env - X=1 nginx",
                "env --unset=HOME --chdir /tmp nginx",
                "nice nginx",
                "nice -n 5 nginx",
                "nice -n5 nginx",
                "nice -5 nginx",
                "nice --adjustment=5 nginx",
                "ionice -c3 nginx",
                "ionice -c 2 -n 7 nginx",
                "stdbuf -oL nginx",
                "stdbuf -o L -e0 nginx",
                "timeout 60 nginx",
                "timeout -k 5 -s INT 60 nginx",
                "timeout --foreground --signal=INT 1h nginx",
                "nohup nginx",
                "setsid -w nginx",
                "chroot /srv nginx",
                "chroot --userspec=www-data /srv nginx",
                "taskset -c 0-1 nginx",
                "numactl --interleave=all nginx",
                "unshare --mount nginx",
                "unshare -mpf --mount-proc nginx",
                "unshare --map-user 1 --fork nginx",
                "tini nginx",
                "tini -g -- nginx",
                "tini -p SIGTERM -vv -e 143 -- nginx",
                "/sbin/docker-init -- nginx",
                "dumb-init nginx",
                "dumb-init --rewrite 15:3 -- nginx",
                "dumb-init -r 15:3 nginx",
                "catatonit -g -- nginx",
                "runuser -u www-data -- nginx -g x",
                "sudo -u www-data -E X=1 nginx",
                "wait-for-it.sh db:5432 -t 30 -- nginx",
                "with-contenv nginx",
                "tini -- gosu www-data env X=1 nice nginx",
            ],
        );
    }

    #[test]
    fn a_wrapper_whose_option_is_not_known_is_unclear() {
        none_starts(&[
            "nice --new nginx",
            "setpriv --new-option nginx",
            "env -S nginx",
            "timeout -x 5 nginx",
            "gosu",
            "gosu root",
            "tini --",
            "nice -n",
            "env X=1",
            "wait-for-it.sh db:5432 nginx",
            "env env env env env env env env env env env nginx",
        ]);
        // The value of an option is no command.
        none_starts(&["timeout -k nginx 5", "chpst -u nginx", "setpriv --reuid nginx", "env -u nginx"]);
    }

    #[test]
    fn a_shells_simple_command_is_looked_into() {
        each_starts(
            "nginx",
            &[
                "sh|-c|exec nginx",
                "sh|-c|nginx -g 'daemon off;'",
                "/bin/sh|-c|  exec nginx -g \"daemon off;\"\n",
                "bash|-c|nginx -c ..",
                "bash|-lc|X=1 exec nginx",
                "bash|-eo|pipefail|-c|exec nginx",
                "bash|--login|-c|nginx",
                "sh|-c|exec env X=\"a b\" nginx -p $PREFIX",
                "sh|-c|exec gosu $USER nginx",
                "sh|-c|exec \\\n nginx",
                "sh|-c|'nginx'|name|argument",
                "su|root|-s|/bin/sh|-c|nginx -c ..",
                "su|-|www-data|-c|exec nginx",
                "su|-c|nginx|root",
                "runuser|www-data|--command=nginx",
                "tini|--|sh|-c|exec nginx",
            ],
        );
        // In Cloud Run's own examples.
        each_starts("gunicorn", &["sh|-c|exec gunicorn --bind :$PORT --workers 1 main:app"]);
        each_starts("mysql", &["sh|/usr/bin/mysqld_safe"]);
    }

    #[test]
    fn a_shell_with_more_than_a_simple_command_is_unclear() {
        for command in [
            "true && nginx",
            "nginx; echo done",
            "nginx & wait",
            "nginx | tee log",
            "nginx > log",
            "nginx 2>&1",
            "nginx\necho done",
            "nginx `id -u`",
            "nginx -p \"$(pwd)\"",
            "(nginx)",
            "{ nginx; }",
            "# nginx",
            "'nginx",
            "exec",
            "exec -a name nginx",
            "exec \"$@\"",
            "$SERVER",
            "",
        ] {
            let words = words(&["sh", "-c", command]);
            assert_eq!(started_by(words).map(|profile| profile.name), None, "{command}");
        }
        none_starts(&["sh -c", "sh start.sh", "bash", "bash --rcfile nginx", "sh -s nginx", "su nginx", "su"]);
    }

    #[test]
    fn entrypoints_of_images_are_looked_through() {
        for (command, name) in [
            ("/docker-entrypoint.sh nginx -g daemon", "nginx"),
            ("docker-php-entrypoint php-fpm", "php-fpm"),
            ("docker-php-entrypoint apache2-foreground", "httpd"),
            ("docker-php-entrypoint -S 0.0.0.0:80", "php-server"),
            ("docker-entrypoint.sh haproxy -f h.cfg", "haproxy"),
            ("docker-entrypoint.sh -f /usr/local/etc/haproxy/haproxy.cfg", "haproxy"),
            ("/entrypoint.sh traefik --api", "traefik"),
            ("/entrypoint.sh --entryPoints.web.address=:80", "traefik"),
            ("/entrypoint.sh --api --providers.docker", "traefik"),
            ("docker-varnish-entrypoint", "varnish"),
            ("docker-varnish-entrypoint -p default_ttl=3600", "varnish"),
            ("docker-entrypoint.sh postgres", "postgres"),
            ("docker-entrypoint.sh -c shared_buffers=256MB", "postgres"),
            ("docker-entrypoint.sh s.js", "node"),
            ("docker-entrypoint.sh node s.js", "node"),
            ("docker-entrypoint.sh gosu redis redis-server", "redis"),
            ("/opt/bitnami/scripts/nginx/entrypoint.sh /opt/bitnami/scripts/nginx/run.sh", "nginx"),
            ("/opt/bitnami/scripts/postgresql/run.sh", "postgres"),
        ] {
            assert_eq!(started(command), Some(name), "{command}");
        }
        // Of several images.
        none_starts(&[
            "docker-entrypoint.sh",
            "docker-entrypoint.sh --help",
            "docker-entrypoint.sh -c 1024",
            "docker-entrypoint.sh npm start",
            "run.sh",
        ]);
    }

    #[test]
    fn scripts_and_modules_are_known_behind_their_interpreter() {
        for (command, name) in [
            ("python -m gunicorn app:wsgi", "gunicorn"),
            ("python3 -u -m uvicorn app:asgi", "uvicorn"),
            ("python3.11 -um uvicorn app:asgi", "uvicorn"),
            ("python -X dev -W error -mhypercorn app:asgi", "hypercorn"),
            ("python -m gunicorn.app.wsgiapp app", "gunicorn"),
            ("python -m http.server 8080", "http.server"),
            ("python -m waitress --listen=*:8080 app:wsgi", "waitress"),
            ("python -m celery -A t worker", "celery"),
            ("python -m flask run", "flask"),
            ("python -m poetry run gunicorn app", "gunicorn"),
            ("python /usr/bin/gunicorn -w 4", "gunicorn"),
            ("python manage.py runserver 0.0.0.0:8000", "runserver"),
            ("./manage.py runserver", "runserver"),
            ("fastapi run main.py", "uvicorn"),
            ("ruby /usr/bin/puma -C p.rb", "puma"),
            ("ruby -I lib -W0 -S unicorn", "unicorn"),
            ("bundle exec puma -w 2", "puma"),
            ("bundle exec --gemfile=G thin start", "thin"),
            ("ruby /usr/bin/bundle exec puma", "puma"),
            ("bin/rails server -b 0.0.0.0", "puma"),
            ("bundle exec rails s", "puma"),
            ("rackup -o 127.0.0.1 -s puma config.ru", "puma"),
            ("poetry run gunicorn app", "gunicorn"),
            ("poetry --no-ansi run gunicorn app", "gunicorn"),
            ("uv run --no-project --offline --python python gunicorn -w 2", "gunicorn"),
            ("uv --quiet run uvicorn app:asgi", "uvicorn"),
            ("uv run python -m uvicorn app:asgi", "uvicorn"),
            ("pipenv run gunicorn app", "gunicorn"),
            ("opentelemetry-instrument gunicorn app", "gunicorn"),
            ("opentelemetry-instrument --traces_exporter console --service_name=a uvicorn app", "uvicorn"),
            ("ddtrace-run gunicorn app", "gunicorn"),
            ("dotenv -f .env run -- gunicorn app", "gunicorn"),
            ("newrelic-admin run-program gunicorn app", "gunicorn"),
            ("npx next start", "node"),
            ("npx --yes tsx s.ts", "node"),
            ("node --inspect -r ./hook.js s.js", "node"),
            ("php -d display_errors=1 -S 0.0.0.0:80 -t public", "php-server"),
            ("lua5.4 /usr/bin/prosody -F", "prosody"),
            ("java -jar app.jar", "java"),
            ("java -cp a.jar:b.jar -Xmx1g kafka.Kafka server.properties", "kafka"),
        ] {
            assert_eq!(started(command), Some(name), "{command}");
        }
        none_starts(&[
            "python app.py",
            "python -c import",
            "python -m app",
            "python flask.py",
            "python manage.py migrate",
            "python /app/redis-server",
            "python --new -m gunicorn",
            "ruby app.rb",
            "ruby puma.rb",
            "ruby -e puma",
            "bundle install",
            "bundle",
            "rails db:migrate",
            "rackup config.ru",
            "poetry install gunicorn",
            "uv run app.py",
            "uv run -m gunicorn",
            "uv run --new gunicorn",
            "php artisan serve",
            "node /usr/bin/npm start",
            "npx http-server",
        ]);
    }

    #[test]
    fn a_jvm_is_known_by_its_main_class() {
        for (command, name) in [
            ("java -cp x org.apache.catalina.startup.Bootstrap start", "tomcat"),
            ("java -Xms1g -cp x kafka.Kafka server.properties", "kafka"),
            (
                "java --module-path lib -m org.elasticsearch.server/org.elasticsearch.bootstrap.Elasticsearch",
                "elasticsearch",
            ),
            ("java --add-modules=jdk.net --module org.a/org.opensearch.bootstrap.OpenSearch", "elasticsearch"),
            ("java -ea -cp x org.apache.cassandra.service.CassandraDaemon", "cassandra"),
            ("java -cp x org.apache.zookeeper.server.quorum.QuorumPeerMain zoo.cfg", "zookeeper"),
            ("java -cp x org.neo4j.server.Neo4jCommunity", "neo4j"),
            ("java -cp x org.logstash.Logstash", "logstash"),
            ("java -cp kafka.Kafka Main", "java"),
            ("java Main kafka.Kafka", "java"),
            ("java @arguments", "java"),
        ] {
            assert_eq!(started(command), Some(name), "{command}");
        }
    }

    #[test]
    fn uwsgi_gets_sigterm_only_where_a_hook_in_its_arguments_makes_that_graceful() {
        let uwsgi = |arguments: &[&str]| running(&words(&[&["uwsgi"], arguments].concat()), "uwsgi").unwrap();
        let hook = "unix_signal:15 gracefully_kill_them_all";
        let graceful = uwsgi(&["--master", "--hook-master-start", hook]);
        assert_eq!((graceful.stop_signal, graceful.finishes), (Signal::TERM, Finishes::Yes));
        assert_eq!(uwsgi(&[&format!("--hook-master-start={hook}")]), graceful);
        for arguments in [
            &["--die-on-term"][..],
            &["--hook-master-start", "unix_signal:1 gracefully_kill_them_all"],
            &["--ini", "a.ini"],
        ] {
            let profile = uwsgi(arguments);
            assert_eq!((profile.name, profile.stop_signal, profile.finishes), ("uwsgi", Signal::INT, Finishes::No));
        }
    }

    fn each_runs(seen: &[(&[&str], &str, &str)]) {
        for &(cmdline, comm, name) in seen {
            assert_eq!(run_by(cmdline, comm), Some(name), "{cmdline:?} {comm}");
        }
    }

    // As /proc showed them; those of OpenResty, Angie, CouchDB, Kafka and Node.js 22 as others report them.

    #[test]
    fn web_servers_and_proxies_that_were_seen() {
        each_runs(&[
            (&["nginx: master process nginx -c ng.conf"][..], "nginx", "nginx"),
            (&["nginx: master process nginx -g daemon off;", "", ""], "nginx", "nginx"),
            (&["nginx: worker process"], "nginx", "nginx"),
            (&["nginx: master process openresty -g daemon off;"], "openresty", "nginx"),
            (&["angie: master process v1.7.0 #1 [/usr/sbin/angie -g daemon off;]"], "angie", "nginx"),
            (&["apache2", "-f", "ap.conf", "-DFOREGROUND"], "apache2", "httpd"),
            (&["haproxy", "-W", "-db", "-f", "h.cfg"], "haproxy", "haproxy"),
            (&["/usr/sbin/lighttpd", "-D", "-f", "l.conf"], "lighttpd", "lighttpd"),
            (&["/usr/sbin/lighttpd-angel", "-D", "-f", "l.conf"], "lighttpd-angel", "lighttpd"),
            (&["caddy", "run", "--config", "Caddyfile"], "caddy", "caddy"),
            (&["squid", "--foreground", "-f", "s.conf"], "squid", "squid"),
            (&["(squid-1)", "--kid", "squid-1", "--foreground", "-f", "s.conf"], "squid", "squid"),
            (&["varnishd", "-F", "-a", "127.0.0.1:8080"], "varnishd", "varnish"),
            (&["nghttpx", "-f", "127.0.0.1,8080;no-tls"], "nghttpx", "nghttpx"),
            (&["traffic_server"], "[TS_MAIN]", "trafficserver"),
            (&["traffic_manager"], "traffic_manager", "trafficserver"),
            (&["pgbouncer", "pgb.ini"], "pgbouncer", "pgbouncer"),
            (&["php-fpm: master process (fpm.conf)"], "php-fpm8.2", "php-fpm"),
            (&["php-fpm: pool www"], "php-fpm8.2", "php-fpm"),
            (&["php", "-S", "127.0.0.1:8080", "-t", "/tmp"], "php", "php-server"),
        ]);
    }

    #[test]
    fn application_servers_that_were_seen() {
        let python = "/app/bin/python3";
        each_runs(&[
            (&["gunicorn: master [app:wsgi]"], "gunicorn: maste", "gunicorn"),
            (&["gunicorn: master [app:wsgi]"], "gunicorn", "gunicorn"),
            (&["gunicorn: master [app:wsgi]"], "python3", "gunicorn"),
            (&["/usr/bin/python3", "/usr/bin/gunicorn", "-w", "4", "app:wsgi"], "gunicorn", "gunicorn"),
            (&[python, "/app/bin/uvicorn", "--port", "8080", "app:asgi"], "uvicorn", "uvicorn"),
            (&["/app/bin/python", "-m", "uvicorn", "--port", "8080", "app:asgi"], "python", "uvicorn"),
            (&[python, "/app/bin/fastapi", "run", "fa.py"], "fastapi", "uvicorn"),
            (&[python, "/app/bin/hypercorn", "-w", "2", "app:asgi"], "hypercorn", "hypercorn"),
            (&["granian asgi 127.0.0.1:8080 app:asgi"], "granian asgi 12", "granian"),
            (&["granian asgi 127.0.0.1:8080 app:asgi worker-1"], "granian asgi 12", "granian"),
            (&[python, "/app/bin/daphne", "-p", "8080", "app:asgi"], "daphne", "daphne"),
            (&[python, "/app/bin/waitress-serve", "--listen=*:8080", "app:wsgi"], "waitress-serve", "waitress"),
            (&[python, "/app/bin/cheroot", "app:wsgi"], "cheroot", "cheroot"),
            (&[python, "/app/bin/uwsgi", "--http-socket", "127.0.0.1:8080"], "uwsgi", "uwsgi"),
            (&["uwsgi-core", "--plugin", "python3", "--master"], "uwsgi-core", "uwsgi"),
            (&["uWSGI master"], "uwsgi", "uwsgi"),
            (&[python, "/app/bin/flask", "--app", "fl:app", "run"], "flask", "flask"),
            (&["/app/bin/python", "-m", "http.server", "8080"], "python", "http.server"),
            (&["[celeryd: celery@vm:MainProcess] -active- (-A t worker)"], "[celeryd: celer", "celery"),
            (&["puma 5.6.5 (tcp://127.0.0.1:8080) [app]"], "puma", "puma"),
            (&["puma 5.6.5 (tcp://127.0.0.1:8080) [app]"], "ruby", "puma"),
            (&["puma 5.6.5 (tcp://127.0.0.1:8080) [app]"], "rackup", "puma"),
            (&["puma: cluster worker 0: 4 [app]"], "puma", "puma"),
            (&["unicorn master -l 127.0.0.1:8080 config.ru"], "unicorn", "unicorn"),
            (&["/usr/bin/ruby", "/usr/bin/thin", "start", "-p", "8080"], "thin", "thin"),
            (&["ruby", "/usr/local/bin/bundle", "exec", "thin", "start"], "bundle", "thin"),
            (&["sidekiq 6.4.1  [0 of 10 busy]"], "sidekiq", "sidekiq"),
            (&["node", "s.js"], "node", "node"),
            (
                &["/usr/bin/node", "--require", "/a/preflight.cjs", "--import", "file:///a.mjs", "../h.js"],
                "node",
                "node",
            ),
            (&["node", "s.js"], "MainThread", "node"),
            (&["node /app/app/h.js"], "node /app/app/h", "node"),
            (&["next-server (v14.2.35)"], "next-server (v1", "node"),
        ]);
    }

    #[test]
    fn databases_and_others_that_were_seen() {
        each_runs(&[
            (&["redis-server *:6379"], "redis-server", "redis"),
            (&["/app/bin/valkey-server *:6379"], "valkey-server", "redis"),
            (&["memcached", "-u", "nobody"], "memcached", "memcached"),
            (&["/usr/lib/postgresql/15/bin/postgres", "-D", "pg"], "postgres", "postgres"),
            (&["postgres: checkpointer "], "postgres", "postgres"),
            (&["mariadbd", "--no-defaults", "--user=mysql"], "mariadbd", "mysql"),
            (&["clickhouse-server", "--config-file=config.xml"], "clickhouse-serv", "clickhouse"),
            (&["etcd", "--data-dir", "d"], "etcd", "etcd"),
            (&["influxd"], "influxd", "influxdb"),
            (&["docker-registry", "serve", "reg.yml"], "docker-registry", "registry"),
            (&["/app/bin/nats-server", "-p", "4333"], "nats-server", "nats"),
            (&["sshd: /usr/sbin/sshd -D -e [listener] 0 of 10-100 startups"], "sshd", "sshd"),
            (&["/usr/sbin/dovecot", "-F"], "dovecot", "dovecot"),
            (&["lua5.4", "/usr/bin/prosody", "-F"], "lua5.4", "prosody"),
            (&["turnserver", "-n"], "turnserver", "coturn"),
            (&["runsvdir", "-P", "/etc/service"], "runsvdir", "runsvdir"),
            (
                &[
                    "/usr/lib/erlang/erts-13.1.5/bin/beam.smp",
                    "-progname",
                    "erl",
                    "--",
                    "-noinput",
                    "-s",
                    "rabbit",
                    "boot",
                ],
                "beam.smp",
                "rabbitmq",
            ),
            (&["/opt/couchdb/erts-8.3/bin/beam.smp", "--", "-progname", "couchdb", "--"], "beam.smp", "couchdb"),
            (
                &[
                    "/usr/bin/java",
                    "-XX:OnOutOfMemoryError=kill -9 %p",
                    "-cp",
                    "a:b",
                    "-Dx",
                    "kafka.Kafka",
                    "s.properties",
                ],
                "java",
                "kafka",
            ),
            (
                &["/usr/bin/java", "-classpath", "b.jar", "-Dx", "org.apache.catalina.startup.Bootstrap", "start"],
                "java",
                "tomcat",
            ),
        ]);
    }

    #[test]
    fn a_title_or_a_name_counts_only_where_comm_agrees() {
        for (cmdline, comm) in [
            (&["nginx: master process nginx"][..], "python3"),
            (&["nginx: master process nginx"], "node"),
            (&["nginx: exporter"], "nginx: exporter"),
            (&["postgres: a proxy"], "pgproxy"),
            (&["puma 5.6.5 (tcp://127.0.0.1:8080) [app]"], "python3"),
            (&["gunicorn: master [app:wsgi]"], "ruby"),
            (&["nginx", "-g", "daemon off;"], "python3"),
            (&["python3", "app.py"], "nginx"),
            (&["/app/my nginx"], "nginx"),
            (&["/usr/lib/erlang/bin/beam.smp", "-progname", "erl", "--", "-s", "app"], "beam.smp"),
        ] {
            assert_eq!(run_by(cmdline, comm), None, "{cmdline:?} {comm}");
        }
    }

    #[test]
    fn a_running_wrapper_is_not_the_server_that_it_starts() {
        for (cmdline, comm) in [
            (&["/bin/sh", "/usr/bin/mysqld_safe", "--user=mysql"][..], "mysqld_safe"),
            (&["/bin/sh", "/usr/sbin/apachectl", "-DFOREGROUND"], "apachectl"),
            (&["/bin/sh", "/usr/lib/rabbitmq/bin/rabbitmq-server"], "rabbitmq-server"),
            (&["sh", "-c", "nginx -g 'daemon off;'; echo"], "sh"),
            (&["su", "root", "-c", "nginx"], "su"),
            (&["tini", "--", "nginx"], "tini"),
            (&["uv", "run", "uvicorn"], "uv"),
            (&["timeout", "60", "nginx"], "timeout"),
            (&["npm start"], "npm start"),
            (&["node", "/usr/local/bin/yarn", "start"], "node"),
            (&["/usr/bin/python3", "/usr/bin/supervisord", "-n"], "supervisord"),
            (&[], "nginx"),
            (&[""], "nginx"),
        ] {
            assert_eq!(run_by(cmdline, comm), None, "{cmdline:?}");
        }
    }

    #[test]
    fn what_only_starts_the_next_process_is_looked_through() {
        for (cmdline, comm, expected) in [
            (&["npm start"][..], "npm start", true),
            (&["npm run plain"], "npm run plain", true),
            (&["npm exec node ../h.js"], "npm exec node .", true),
            (&["npm start"], "node", true),
            (&["node", "/usr/bin/npm", "start"], "node", true),
            (&["node", "/a/node_modules/.bin/yarn", "start"], "node", true),
            (&["node", "/a/corepack/dist/yarn.js", "start"], "node", true),
            (&["node", "/app/.yarn/releases/yarn-4.1.0.cjs", "start"], "node", true),
            (&["node", "/a/bin/pnpm.cjs", "run", "start"], "MainThread", true),
            (&["/usr/bin/node", "/usr/share/nodejs/npm/bin/npm-cli.js", "start"], "node", true),
            (&["node", "/a/node_modules/.bin/nodemon", "h.js"], "node", true),
            (&["node", "/app/s.js", "npm"], "node", false),
            (&["npm start"], "nginx", false),
            (&["tini", "--", "nginx"], "tini", true),
            (&["/usr/bin/tini-static", "-g", "nginx"], "tini-static", true),
            (&["/sbin/docker-init", "--", "nginx"], "docker-init", true),
            (&["/run/podman-init", "--", "nginx"], "podman-init", true),
            (&["catatonit", "nginx"], "catatonit", true),
            (&["dumb-init", "nginx", "-r"], "dumb-init", true),
            (&["dumb-init", "-r", "15:3", "nginx"], "dumb-init", false),
            (&["dumb-init", "--rewrite=15:3", "--", "nginx"], "dumb-init", false),
            (&["su", "rabbitmq", "-s", "/bin/sh", "-c", "rabbitmq-server"], "su", true),
            (&["runuser", "-u", "www-data", "--", "nginx"], "runuser", true),
            (&["sudo", "-u", "www-data", "nginx"], "sudo", true),
            (&["timeout", "60", "nginx"], "timeout", true),
            (&["uv", "run", "uvicorn"], "uv", true),
            (&["tini", "--", "nginx"], "nginx", false),
            (&["sh", "start.sh"], "sh", false),
            (&["/usr/bin/python3", "/usr/bin/supervisord", "-n"], "supervisord", false),
            (&["s6-svscan", "svc"], "s6-svscan", false),
            (&["nginx: master process nginx"], "nginx", false),
            (&[], "tini", false),
        ] {
            assert_eq!(is_looked_through(&words(cmdline), comm), expected, "{cmdline:?} {comm}");
        }
    }

    #[test]
    fn a_shell_that_reads_its_input_has_a_profile_of_its_own() {
        for (cmdline, expected) in [
            (&["bash"][..], true),
            (&["-bash"], true),
            (&["/bin/sh", "-i"], true),
            (&["bash", "--norc", "-o", "vi"], true),
            (&["bash", "-c", "nginx"], false),
            (&["sh", "start.sh"], false),
            (&["nginx"], false),
            (&[], false),
        ] {
            let profile = Profile::of_shell(cmdline);
            assert_eq!(profile.map(|profile| profile.stop_signal), expected.then_some(Signal::HUP), "{cmdline:?}");
        }
    }
}
