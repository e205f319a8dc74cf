run_as_root = true
pidfile = "{D}/pid"
data_path = "{D}"
daemonize = false
c2s_ports = { 8080 }
c2s_require_encryption = false
allow_unencrypted_plain_auth = true
modules_enabled = { "saslauth" }
modules_disabled = { "s2s" }
log = { info = "*console" }
VirtualHost "localhost"
