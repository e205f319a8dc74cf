//! softstop is a PID-1 init for containers that lets a server leave without dropping a request.
//!
//! The life of the process, in order:
//!
//! 1. `main` blocks every signal before anything else, and remembers what was inherited ([`sys::signals`]).
//! 2. The name that we are called by decides which init we are ([`personality`]): how the command line is read, and how the
//!    log is worded ([`log_style`]). Command line, environment, file and the server's profile ([`profile`]) are resolved into
//!    one [`settings::Settings`]. Any mistake is reported here in one sentence, and nothing starts.
//! 3. The log opens ([`logging`]). If we are not PID 1 we become a subreaper ([`sys::role`]).
//! 4. The main child starts with everything that we inherited ([`sys::spawn`]). From here on no error may end us.
//! 5. [`supervise`] sleeps in poll(2). Each thing that happens is an event for the state machine in [`shutdown`], which alone
//!    decides. [`sys`] carries out its actions, and [`report`] logs them.
//! 6. During a stop, and only then, `supervise::traffic_monitor` takes snapshots of the app's sockets ([`sys::sockets`],
//!    [`snapshot`]). What they prove ([`traffic`]) goes to the state machine as one more event.
//! 7. When the main child has exited, or all processes have, we exit with its code.
//!
//! [`shutdown`], [`signal`], [`traffic`] and [`rate`], with the plain data of [`snapshot`] and [`process`], make no system call
//! and read no clock: time is an argument. [`sys`] alone talks to the kernel; only `main`, [`supervise`] and [`sys`] itself may
//! use it.

pub mod duration;
pub mod explain;
pub mod log_style;
pub mod logging;
pub mod network;
pub mod personality;
pub mod probe;
pub mod process;
pub mod profile;
pub mod rate;
pub mod report;
pub mod server;
pub mod settings;
pub mod shutdown;
pub mod signal;
pub mod snapshot;
pub mod supervise;
pub mod sys;
pub mod traffic;
