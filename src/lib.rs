//! softstop is a PID-1 init for containers that lets a server leave without dropping a request.
//!
//! The life of the process, in order:
//!
//! 1. `main` blocks every signal before anything else and remembers what was inherited ([`sys::signals`]).
//! 2. The name that we are called by says which init we are ([`personality`]), and so which command line is read (softstop's
//!    own is in [`cli`]) and in which words we speak ([`voice`]). With the environment, the file and the server's profile
//!    ([`profile`]) it is resolved into one [`settings::Settings`]. Whatever is wrong is said here, in one sentence, and
//!    nothing starts.
//! 3. The log opens ([`logging`]); we become a subreaper where we are not PID 1.
//! 4. The main child starts as if we were not there ([`sys::process`]). From here on nothing may end us.
//! 5. [`supervise`] sleeps in poll(2). What happens goes as an event to the state machine in [`shutdown`], which alone
//!    decides; its actions are carried out by [`sys`], and told to people by [`report`].
//! 6. While a stop lasts, and only then, the [`lookout`] looks at the app's sockets ([`sys::sockets`]); what the looks add
//!    up to ([`traffic`]) goes to the state machine as one more event, with a number in it.
//! 7. When the main child is gone (or all are), we leave with its exit code.
//!
//! [`shutdown`], [`signal`] and [`traffic`] are pure: they ask no operating system, and time is an argument. [`sys`] alone
//! talks to the kernel.

pub mod cli;
pub mod duration;
pub mod explain;
pub mod logging;
pub mod lookout;
pub mod network;
pub mod personality;
pub mod profile;
pub mod report;
pub mod settings;
pub mod shutdown;
pub mod signal;
pub mod supervise;
pub mod sys;
pub mod traffic;
pub mod voice;
