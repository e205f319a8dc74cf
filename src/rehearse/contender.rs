//! Who takes part: the inits and what each is started as.
