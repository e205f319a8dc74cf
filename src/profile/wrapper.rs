//! Programs that start another program: wrappers such as env(1), entrypoint scripts, shells, package managers.

use super::Runtime;
use super::runtime::script;
use super::words::{End, Words, base, comm_of, command_at, head, options, title};

/// A program that runs the command at the end of its arguments, like env(1).
pub(super) struct Wrapper {
    names: &'static [&'static str],
    /// The word before the command (`exec` in `bundle exec`). Options may come before and after it.
    verb: &'static str,
    /// How many operands come before the command.
    operands: usize,
    short: &'static str,
    long: &'static str,
}

const fn wrapper(names: &'static [&'static str], short: &'static str, long: &'static str) -> Wrapper {
    Wrapper { names, verb: "", operands: 0, short, long }
}

/// The wrappers, with the options that their manuals list.
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

/// Entrypoint scripts of official images, and names that other images commonly use. They run the command in their arguments.
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

pub(super) enum Wrapping {
    /// The words run this command.
    Around(Words),
    /// They are no wrapper.
    None,
    /// They run another command, but it is not clear which.
    Unclear,
}

impl From<Option<Words>> for Wrapping {
    fn from(inner: Option<Words>) -> Self {
        inner.map_or(Self::Unclear, Self::Around)
    }
}

pub(super) fn wrapped(words: &[String]) -> Wrapping {
    let Some(first) = words.first() else { return Wrapping::Unclear };
    let program = base(first);
    if SHELLS.contains(&program) {
        return shell(words).inner().into();
    }
    if matches!(program, "su" | "runuser") {
        return su_command(words).into();
    }
    if ENTRYPOINTS.contains(&program) {
        return entrypoint(program, words).into();
    }
    if WAITERS.contains(&program) {
        let at = words.iter().position(|word| word == "--");
        return at.and_then(|at| command_at(words, at + 1)).into();
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

pub(super) fn wrapper_named(name: &str) -> Option<&'static Wrapper> {
    WRAPPERS.iter().find(|wrapper| wrapper.names.contains(&name))
}

impl Wrapper {
    pub(super) fn inner(&self, words: &[String]) -> Option<Words> {
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
        command_at(words, at + self.operands)
    }

    fn operand(&self, words: &[String], at: usize) -> Option<usize> {
        match options(words, at, self.short, self.long)? {
            End::Operand(at) => Some(at),
            End::Value(..) => None,
        }
    }
}

/// The command of su(1) or runuser(1). su takes options after its operands too. With `runuser -u USER` the operands are the
/// command.
fn su_command(words: &[String]) -> Option<Words> {
    let long = "command! shell: group: supp-group: whitelist-environment: user: login preserve-environment";
    let is_command = words.iter().any(|word| word == "-u" || word.starts_with("--user"));
    let mut at = 1;
    while at < words.len() {
        match options(words, at, "c!s:g:G:w:u:lmpfP", long)? {
            End::Value(_, command, _) => return simple_command(command),
            End::Operand(operand) if is_command => return command_at(words, operand),
            End::Operand(operand) => at = operand + 1,
        }
    }
    None
}

/// The command that an image's entrypoint runs. If the arguments begin with an option, the entrypoint puts its server's name in
/// front of them. Only in a few cases the arguments show which server that is.
fn entrypoint(program: &str, words: &[String]) -> Option<Words> {
    let arguments = words.get(1..)?;
    let first = arguments.first().map_or("", String::as_str);
    let server = if program == "docker-varnish-entrypoint" && (first.is_empty() || first.starts_with('-')) {
        "varnishd"
    } else if [".js", ".mjs", ".cjs"].iter().any(|end| first.ends_with(end)) {
        "node"
    } else if !first.starts_with('-') {
        return command_at(words, 1);
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

/// What a shell takes its commands from.
enum Shell<'a> {
    /// The string after `-c`.
    Command(&'a str),
    /// A script and its arguments.
    Script(Words),
    /// Its stdin.
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
            // With `-s` the operands are arguments of the script on stdin, not a script.
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

/// The words of a shell's simple command, without the assignments and the `exec` before it. Variables are not expanded. `None`:
/// it is not a simple command.
fn simple_command(text: &str) -> Option<Words> {
    let mut words = Words::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut chars = text.trim_matches([' ', '\t', '\n']).chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (Some(quoted), c) if quoted == c => quote = None,
            // A command substitution, an operator or a redirection: not a simple command.
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
    if quote.is_some() { None } else { command_at(&words, at) }
}

/// Whether this is a package manager of Node.js. On SIGTERM they exit, or kill what they started, and do not pass the signal
/// on.
pub(super) fn is_package_manager(script: &str) -> bool {
    let name = script.trim_end_matches(".js").trim_end_matches(".cjs").trim_end_matches("-cli");
    matches!(name, "npm" | "npx" | "yarn" | "yarnpkg" | "pnpm" | "pnpx" | "nodemon") || name.starts_with("yarn-")
}

pub(super) fn is_looked_through(words: &[String], comm: &str) -> bool {
    if let Some(title) = title(words) {
        // npm gives itself the title `npm start`.
        return is_package_manager(head(title)) && (comm == comm_of(title) || Runtime::Node.has_comm(comm));
    }
    let Some(program) = words.first().map(|first| base(first)) else { return false };
    if Runtime::of(program) == Some(Runtime::Node) {
        return script(Runtime::Node, words).is_some_and(|(name, _)| {
            is_package_manager(base(name)) && (Runtime::Node.has_comm(comm) || comm == comm_of(base(name)))
        });
    }
    let passes_on = matches!(program, "su" | "runuser" | "sudo" | "timeout" | "uv") && comm == comm_of(program);
    passes_on || is_init(words, comm)
}

/// Whether this is an init that passes every signal on as it is.
pub(super) fn is_init(words: &[String], comm: &str) -> bool {
    let Some(program) = words.first().map(|first| base(first)) else { return false };
    let passes_on = match program {
        "tini" | "tini-static" | "docker-init" | "podman-init" | "catatonit" => true,
        // If the user has it rewrite signals, it must be sent the signal itself.
        "dumb-init" => {
            matches!(options(words, 1, "r!cv", "rewrite! single-child verbose"), Some(End::Operand(_)))
        }
        _ => false,
    };
    passes_on && comm == comm_of(program)
}

#[cfg(test)]
mod tests {
    use super::super::Profile;
    use super::super::examples::{each_starts, none_starts, started};
    use super::super::words::words;
    use super::*;
    use crate::signal::Signal;

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
            let profile = Profile::of_command(&["sh", "-c", command]);
            assert_eq!(profile.map(|profile| profile.name), None, "{command}");
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
