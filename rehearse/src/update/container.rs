//! Starts a pod in a container of the Docker engine.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use super::application::{Application, PodSpec};
use super::contender::Contender;
use super::engine::Engine;
use super::pod::{ExitWatch, Pod, PodProcess};

/// Where the application listens in a container.
const PORT: u16 = 8080;
/// Where the directory of the rehearsal is in a container.
const FILES: &str = "/rehearsal";

pub(crate) async fn start(
    engine: &Engine,
    home: &Path,
    number: u32,
    name: &str,
    contender: &Contender,
    application: &Application,
) -> Result<Pod, String> {
    let spec = PodSpec {
        name: name.to_owned(),
        listen: (Ipv4Addr::UNSPECIFIED, PORT).into(),
        files: home.to_owned(),
        files_in_pod: FILES.into(),
        writable: "/tmp".into(),
    };
    let mut mounts = HostMounts::default();
    let command_line = contender.command_line(application, &spec, |program| mounts.add(program))?;
    let id = format!("{}-{number}", engine.id);
    let mut words: Vec<String> = ["run", "--detach", "--init=false", "--log-driver=json-file", "--tmpfs=/tmp"]
        .into_iter()
        .map(str::to_owned)
        .collect();
    words.extend([format!("--name={id}"), format!("--hostname={name}"), engine.label()]);
    words.push(format!("--volume={}:{FILES}:ro", home.display()));
    words.extend(mounts.options());
    words.push(engine.id.clone()); // the image
    words.extend(command_line);
    engine.run(words).await?;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = engine.run(["inspect", "--format", format, &id]).await?;
    let address: IpAddr =
        address.parse().map_err(|_| "the engine gives a container no address of its own".to_owned())?;
    let exit = ExitWatch::of_container(engine, &id);
    let process = PodProcess::Container { engine: engine.clone(), id };
    Ok(Pod { name: name.to_owned(), address: (address, PORT).into(), process, exit })
}

/// The directories and files of this machine that are mounted into a container, so that the programs find their libraries.
#[derive(Debug, Default)]
struct HostMounts {
    programs: BTreeSet<(PathBuf, String)>,
}

const SYSTEM_DIRECTORIES: [&str; 6] = ["/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin"];
const SYSTEM_FILES: [&str; 3] = ["/etc/passwd", "/etc/group", "/etc/ld.so.cache"];

impl HostMounts {
    /// Adds a program, and returns its path in the container.
    fn add(&mut self, program: &Path) -> String {
        let file = fs::canonicalize(program).unwrap_or_else(|_| program.to_owned());
        let keeps_its_name = file.file_name() == program.file_name();
        if keeps_its_name && SYSTEM_DIRECTORIES.iter().any(|directory| file.starts_with(directory)) {
            return file.display().to_string();
        }
        let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy();
        let path = format!("/programs/{name}");
        self.programs.insert((file, path.clone()));
        path
    }

    /// The options of `docker run`.
    fn options(&self) -> Vec<String> {
        let system = SYSTEM_DIRECTORIES.iter().chain(&SYSTEM_FILES).filter(|path| Path::new(path).exists());
        let system = system.map(|path| format!("--volume={path}:{path}:ro"));
        let programs = self.programs.iter().map(|(file, path)| format!("--volume={}:{path}:ro", file.display()));
        system.chain(programs).collect()
    }
}
