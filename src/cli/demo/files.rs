//! The files of the demo: a configuration, a certificate and its key, in a directory of their own.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::{self, Write},
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use rcgen::{CertificateParams, DnType, KeyPair, SanType, date_time_ymd};

use super::{Ports, services::Addresses};

/// A directory that only this user can read, removed with everything in it when the demo ends.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Files {
    /// Writes them all into a new directory under that of temporary files.
    pub(super) fn write(ports: Ports, services: Addresses) -> io::Result<Self> {
        let name = format!("portcullis-demo-{:08x}", fastrand::u32(..));
        let files = Self {
            directory: std::env::temp_dir().join(name),
        };
        // Not recursive: a directory that is there already is somebody else's.
        DirBuilder::new().mode(0o700).create(&files.directory)?;
        let (certificate, key) = certificate().map_err(io::Error::other)?;
        files.put("demo.pem", &certificate)?;
        files.put("demo.key", &key)?;
        files.put("portcullis.toml", &configuration(ports, services))?;
        Ok(files)
    }

    /// The path of the configuration.
    pub(super) fn configuration(&self) -> PathBuf {
        self.directory.join("portcullis.toml")
    }

    fn put(&self, name: &str, text: &str) -> io::Result<()> {
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(self.directory.join(name))?
            .write_all(text.as_bytes())
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(&self.directory));
    }
}

/// The configuration of the demo, which the ordinary loader reads.
pub(super) fn configuration(ports: Ports, services: Addresses) -> String {
    let [first, second] = services.orders;
    [
        ("ADMIN", ports.admin.to_string()),
        ("HTTPS", ports.https.to_string()),
        ("HTTP", ports.http.to_string()),
        ("USERS", services.users.to_string()),
        ("ORDERS_1", first.to_string()),
        ("ORDERS_2", second.to_string()),
        ("ECHO", services.echo.to_string()),
    ]
    .into_iter()
    .fold(
        include_str!("portcullis.toml").to_owned(),
        |text, (name, value)| text.replace(&format!("@{name}@"), &value),
    )
}

/// A certificate for this machine alone and its key, as PEM.
fn certificate() -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(["localhost".to_owned()])?;
    params
        .subject_alt_names
        .push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    params
        .distinguished_name
        .push(DnType::CommonName, "Portcullis demo");
    let now = date_time_ymd(1970, 1, 1)
        + SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
    params.not_before = now - DAY;
    params.not_after = now + 30 * DAY;
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}
