//! What a runtime (Python, node, a JVM ..) runs: the script, module or class that its arguments name.

use super::table::PROFILES;
use super::words::{End, base, options, unversioned};
use super::{Profile, Runtime};

impl Runtime {
    pub(super) const ALL: [Self; 7] =
        [Self::Erlang, Self::Java, Self::Lua, Self::Node, Self::Php, Self::Python, Self::Ruby];

    pub(super) fn of(program: &str) -> Option<Self> {
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

    /// Whether this may be the `comm` of a process that runs a server in this runtime.
    pub(super) fn has_comm(self, comm: &str) -> bool {
        Self::of(comm) == Some(self)
            || match self {
                // Since Node.js 22.
                Self::Node => comm == "MainThread" || comm == "node-MainThread",
                // These load the server into their own process.
                Self::Ruby => matches!(comm, "bundle" | "rackup" | "rails"),
                _ => false,
            }
    }
}

/// What the arguments of a runtime name: the script, module or class, and the index of its word.
pub(super) fn script(runtime: Runtime, words: &[String]) -> Option<(&str, usize)> {
    let (short, long) = match runtime {
        Runtime::Java => return main_class(words),
        Runtime::Erlang => {
            let is_known = |name: &str| {
                let mut profiles = PROFILES.iter().filter(|profile| profile.runtime == Some(runtime));
                profiles.any(|profile| profile.has_program(name) || profile.modules.contains(&name))
            };
            let is_release = |pair: &[String]| match pair {
                [option, name] => (option == "-s" || option == "-progname") && is_known(name),
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
            // `-m MODULE/CLASS`
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

pub(super) fn with_module(name: &str) -> Option<&'static Profile> {
    PROFILES.iter().find(|profile| profile.modules.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::super::examples::{none_starts, started};

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
}
