//! The settings that one source gives: the command line, the environment, the file, or another init's defaults.

use std::path::PathBuf;
use std::time::Duration;

use log::LevelFilter;

use super::value::{self, ProfileChoice};
use super::{DrainUntil, Error, Key, LogFormat, RawSetting, Rewrites, Source, Sourced};
use crate::duration::Bounds;
use crate::network::Network;
use crate::process::Target;
use crate::shutdown::{Activity, WaitFor};
use crate::signal::{Rewrite, Signal, SignalSet};

/// Each setting with its field, its type, and the function that reads it from text.
macro_rules! layer {
    ($($key:ident $field:ident: $type:ty, $read:path;)*) => {
        /// The settings of one source, typed; `None` where it gives none.
        #[derive(Clone, Debug, Default)]
        #[expect(missing_docs, reason = "the help text in personality/softstop/flags.rs describes each")]
        pub struct Layer {
            $(pub $field: Option<Sourced<$type>>,)*
            pub rewrite: Rewrites,
        }

        impl Layer {
            /// Reads a setting from text. If a setting is read twice, the first value counts.
            ///
            /// # Errors
            ///
            /// The text is not a valid value.
            pub fn read(&mut self, setting: &RawSetting) -> Result<(), Error> {
                match setting.key {
                    Key::Disabled => {} // read before all others
                    Key::Rewrite => {
                        for (from, to) in value::rewrites(setting)? {
                            self.add_rewrite(from, to, &setting.source)?;
                        }
                    }
                    $(Key::$key => {
                        let value = $read(setting)?;
                        self.$field.get_or_insert(Sourced::new(value, setting.source.clone()));
                    })*
                }
                Ok(())
            }

            /// Whether this layer overrides the setting in a weaker layer. It does not override rewrites: those of all layers
            /// apply.
            pub(super) fn overrides(&self, key: Key) -> bool {
                match key {
                    Key::Disabled | Key::Rewrite => false,
                    $(Key::$key => self.$field.is_some(),)*
                }
            }

            /// This layer, with the settings of a weaker one where this one has none.
            #[must_use]
            pub(super) fn over(mut self, weaker: Self) -> Self {
                $(self.$field = self.$field.or(weaker.$field);)*
                for (from, to) in weaker.rewrite {
                    if self.rewrite.get(from).is_none() {
                        self.rewrite.insert(from, to);
                    }
                }
                self
            }
        }
    };
}

layer! {
    Config config: PathBuf, value::path;
    Profile profile: ProfileChoice, value::profile;
    StopOn stop_on: SignalSet, value::received_signals;
    HurryOn hurry_on: SignalSet, value::received_signals;
    StopSignal stop_signal: Signal, value::stop_signal;
    PreDelay pre_delay: Bounds, value::bounds;
    Quiet quiet: Duration, value::duration;
    QuietMeans quiet_means: Activity, value::quiet_means;
    Ports ports: Vec<u16>, value::ports;
    IgnorePeers ignore_peers: Vec<Network>, value::networks;
    CountPeers count_peers: Vec<Network>, value::networks;
    DrainTimeout drain_timeout: Duration, value::duration;
    DrainUntil drain_until: DrainUntil, value::drain_until;
    GracePeriod grace_period: Duration, value::duration;
    Target target: Target, value::target;
    WaitFor wait_for: WaitFor, value::wait_for;
    Subreaper subreaper: bool, value::boolean;
    ParentDeathSignal parent_death_signal: Signal, value::signal;
    RemapExit remap_exit: Vec<u8>, value::exit_codes;
    WarnOnReap warn_on_reap: bool, value::boolean;
    Log log: LevelFilter, value::log_level;
    LogFormat log_format: LogFormat, value::log_format;
}

impl Layer {
    /// Adds a rewrite.
    ///
    /// # Errors
    ///
    /// This source rewrites the signal already.
    pub(super) fn add_rewrite(&mut self, from: Signal, to: Rewrite, source: &Source) -> Result<(), Error> {
        match self.rewrite.insert(from, Sourced::new(to, source.clone())) {
            None => Ok(()),
            Some(_) => Err(Error::RewrittenTwice { source: source.clone(), signal: from }),
        }
    }

    /// The settings that turn the soft stop off: no signal is a stop request, and no profile is used.
    pub(super) fn without_soft_stop(source: &Source) -> Self {
        Self {
            profile: Some(Sourced::new(ProfileChoice::None, source.clone())),
            stop_on: Some(Sourced::new(SignalSet::default(), source.clone())),
            ..Self::default()
        }
    }
}
