//! A pod: the application in a container or in a PID namespace of its own.
