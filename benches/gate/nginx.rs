//! nginx's `proxy_pass`, the yardstick that everyone knows.

use crate::process::Owned;
use crate::systems::{Folder, free_port};
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

/// Starts nginx in front of the upstream: its process, its port, its folder. `None` when there is no nginx here.
pub(crate) fn start(workers: &str, upstream: u16) -> io::Result<Option<(Owned, u16, Folder)>> {
    let there = Command::new("nginx").arg("-v").stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Ok(None);
    }
    let folder = Folder::new("nginx")?;
    let port = free_port()?;
    let file = folder.path().join("nginx.conf");
    fs::write(&file, config(workers, port, upstream, folder.path()))?;
    let mut command = Command::new("nginx");
    command
        .arg("-c")
        .arg(&file)
        .arg("-p")
        .arg(folder.path())
        .args(["-e", "error.log"]);
    let process = Owned::start(command.stdout(Stdio::null()).stderr(Stdio::inherit()))?;
    Ok(Some((process, port, folder)))
}

/// `user` keeps the workers of a master started by root able to write in the folder; another master ignores it.
fn config(workers: &str, port: u16, upstream: u16, folder: &Path) -> String {
    let folder = folder.display();
    format!(
        r"daemon off;
user root;
worker_processes {workers};
worker_rlimit_nofile 65535;
pid {folder}/pid;
error_log {folder}/error.log crit;
events {{ worker_connections 20000; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 600s;
  client_body_buffer_size 64k;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream bench {{ server 127.0.0.1:{upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} reuseport backlog=4096;
    proxy_http_version 1.1;
    proxy_set_header Connection '';
    proxy_read_timeout 600s;
    location / {{ proxy_pass http://bench; }}
  }}
}}
"
    )
}
