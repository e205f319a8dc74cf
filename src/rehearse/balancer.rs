//! The ingress: HAProxy, or the embedded balancer where it is missing.
